{{ config(materialized='ephemeral') }}
{{ states_on('offers') }}
