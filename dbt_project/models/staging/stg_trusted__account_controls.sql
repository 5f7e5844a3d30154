{{ config(materialized='ephemeral') }}
{{ states_on('account_controls') }}
