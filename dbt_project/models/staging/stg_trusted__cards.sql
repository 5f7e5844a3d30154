{{ config(materialized='ephemeral') }}
{{ states_on('cards') }}
