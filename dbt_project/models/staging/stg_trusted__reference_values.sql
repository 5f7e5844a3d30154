{{ config(materialized='ephemeral') }}
{{ states_on('reference_values') }}
