{{ config(materialized='incremental', unique_key='flight_date', incremental_strategy='delete+insert') }}

select
    flight_date,
    count(*) as flights,
    round(avg(delay_minutes), 2) as average_delay_minutes,
    {{ share('delay_minutes > ' ~ var('late_after_minutes')) }} as late_share
from {{ ref('stg_flights') }}
{% if is_incremental() %}
where flight_date >= (select max(flight_date) from {{ this }})
{% endif %}
group by flight_date
