{#- Where the people fit into memory, Spark's sources are temporary views over the Parquet files of the newest Delta
    version (the caller makes them): each scan of a Delta table is a Spark job of its own before the query even starts.
    Outside a night they are the Delta tables at their published versions. DuckDB's are views of its database. -#}
{% macro source(database, table) %}
    {%- set relation = builtins.source(database, table) -%}
    {%- set versions = var('published', {}) -%}
    {%- if target.type == 'spark' and var('small', false) -%}
        {{ return(database ~ '__' ~ table) }}
    {%- elif target.type == 'spark' and versions -%}
        {%- set folder = (var('lake') ~ '/' ~ database ~ '/' ~ table) | replace('`', '``') -%}
        {{ return('delta.`' ~ folder ~ '` version as of ' ~ versions[database ~ '.' ~ table]) }}
    {%- endif -%}
    {{ return(relation) }}
{% endmacro %}
