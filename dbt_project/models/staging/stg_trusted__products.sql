{{ config(materialized='ephemeral') }}
{{ states_on('products') }}
