{#- Where the people fit into memory, sources are temporary views over the Parquet files of the newest Delta version
    (the caller makes them): each scan of a Delta table is a Spark job of its own before the query even starts. -#}
{% macro source(database, table) %}
    {%- set relation = builtins.source(database, table) -%}
    {%- if var('small', false) -%}
        {{ return(database ~ '__' ~ table) }}
    {%- endif -%}
    {{ return(relation) }}
{% endmacro %}
