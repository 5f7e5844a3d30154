{{ config(materialized='ephemeral') }}
{{ facts_as_of('points', 'booked_on') }}
