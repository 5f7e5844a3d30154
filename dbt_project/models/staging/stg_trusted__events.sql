{{ config(materialized='ephemeral') }}
{{ facts_as_of('events', 'occurred_on') }}
