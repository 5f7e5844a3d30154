{#- 0..9999, the same in SQL and Python; one salt per purpose, or a roll-out would lie inside a hold-out. -#}
{% macro bucket(salt, one_id) -%}
(cast(conv(substr(sha2(concat({{ salt }}, '|', {{ one_id }}), 256), 1, 15), 16, 10) as bigint) % 10000)
{%- endmacro %}
