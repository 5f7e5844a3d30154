{{ config(materialized='ephemeral') }}
{{ states_on('campaigns') }}
