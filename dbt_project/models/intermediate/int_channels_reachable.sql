{{ config(materialized='ephemeral') }}
-- What suppression would say to an audience of marketing that is used on the day after D, a row per channel.
{% for channel in ['SMS', 'PUSH', 'WECHAT', 'WECOM', 'INAPP', 'CALL', 'EMAIL', 'BRANCH'] -%}
select
    one_id,
    '{{ channel }}' as channel,
    allowed_marketing_{{ channel | lower }}_1d as is_granted,
    usable_{{ channel | lower }} as is_usable
from {{ ref('int_contact_facts') }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
