{{ config(materialized='ephemeral') }}
{{ facts_as_of('leads', 'received_on') }}
