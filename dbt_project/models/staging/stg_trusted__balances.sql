{{ config(materialized='ephemeral') }}
{{ facts_as_of('balances', 'balance_on') }}
