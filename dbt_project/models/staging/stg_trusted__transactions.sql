{{ config(materialized='ephemeral') }}
{{ facts_as_of('transactions', 'transacted_on') }}
