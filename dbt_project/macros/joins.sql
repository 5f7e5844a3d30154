{#- Twenty sort-merge joins in one stage each want memory for a sort; while the people fit, their answers are sent
    to every task instead. The caller says by `small` whether they fit. -#}
{% macro sent_to_every_task(names) -%}
{% if var('small', false) %}/*+ BROADCAST({{ names | join(', ') }}) */{% endif %}
{%- endmacro %}
