{{ config(materialized='ephemeral') }}
{{ facts_as_of('order_lines', 'ordered_on') }}
