{{ config(materialized='ephemeral') }}
{{ states_on('relationships') }}
