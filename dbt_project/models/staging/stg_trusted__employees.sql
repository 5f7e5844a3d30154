{{ config(materialized='ephemeral') }}
{{ states_on('employees') }}
