-- Written by `cdp tags compile` from marts.yml and the registry. Edit those, not this file.
{{ config(materialized='ephemeral', tags=['mart']) }}
select runs.run_id, runs.destination, runs.code as segment
from {{ source('segments', 'deliveries') }} runs
where runs.as_of > date_sub({{ business_date() }}, 90) and runs.as_of <= {{ business_date() }}
