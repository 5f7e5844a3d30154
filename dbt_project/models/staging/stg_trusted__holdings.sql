{{ config(materialized='ephemeral') }}
{{ states_on('holdings') }}
