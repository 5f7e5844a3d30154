{{ config(materialized='ephemeral') }}
{{ facts_as_of('receipts', 'event_on') }}
