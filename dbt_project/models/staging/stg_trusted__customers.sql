{{ config(materialized='ephemeral') }}
{{ states_on('customers') }}
