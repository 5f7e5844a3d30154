{{ config(materialized='ephemeral') }}
{{ states_on('standing_orders') }}
