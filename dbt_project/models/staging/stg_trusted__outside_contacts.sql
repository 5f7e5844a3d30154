{{ config(materialized='ephemeral') }}
{{ facts_as_of('outside_contacts', 'contacted_on') }}
