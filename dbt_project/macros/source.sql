{#- Where the people fit into memory, Spark's sources are temporary views over the Parquet files of the newest Delta
    version (the caller makes them): each scan of a Delta table is a Spark job of its own before the query even starts.
    DuckDB's are views of its database. -#}
{% macro source(database, table) %}
    {%- set relation = builtins.source(database, table) -%}
    {%- if target.type == 'spark' and var('small', false) -%}
        {{ return(database ~ '__' ~ table) }}
    {%- endif -%}
    {{ return(relation) }}
{% endmacro %}
