{{ config(materialized='ephemeral') }}
{{ facts_as_of('orders', 'ordered_on') }}
