{{ config(materialized='ephemeral', tags=['mart']) }}
{{ funnel_depths(ref('int_funnel_events'), 8) }}
