{{ config(materialized='ephemeral') }}
{{ states_on('attributes') }}
