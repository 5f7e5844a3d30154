{{ config(materialized='ephemeral') }}
{{ facts_as_of('assessments', 'assessed_on') }}
