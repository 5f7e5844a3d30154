{{ config(materialized='ephemeral') }}
{{ facts_as_of('ledger', 'booked_on') }}
