{{ config(materialized='ephemeral') }}

select
    flights.*,
    bands.band as delay_band
from {{ ref('stg_flights') }} as flights
inner join {{ ref('delay_bands') }} as bands
    on flights.delay_minutes >= bands.from_minutes
    and flights.delay_minutes < bands.below_minutes
