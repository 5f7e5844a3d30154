{{ config(materialized='ephemeral') }}
{{ states_on('accounts') }}
