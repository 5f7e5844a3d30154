{{ config(materialized='ephemeral') }}
{{ states_on('contents') }}
