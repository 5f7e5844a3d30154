{{ config(materialized='ephemeral') }}
select distinct one_id, kind
from {{ ref('int_profiles_keyed') }}
