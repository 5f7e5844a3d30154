{{ config(materialized='ephemeral') }}
{{ states_on('consents') }}
