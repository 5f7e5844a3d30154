{{ config(materialized='ephemeral') }}
{{ states_on('identifier_observations') }}
