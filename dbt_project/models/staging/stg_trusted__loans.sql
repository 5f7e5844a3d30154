{{ config(materialized='ephemeral') }}
{{ states_on('loans') }}
