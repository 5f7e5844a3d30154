{{ config(materialized='ephemeral') }}
{{ states_on('branches') }}
