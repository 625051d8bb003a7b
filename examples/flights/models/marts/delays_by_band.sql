select
    bands.band,
    bands.sort_order,
    count(flights.delay_band) as flights
from {{ ref('delay_bands') }} as bands
left join {{ ref('flights_banded') }} as flights
    on bands.band = flights.delay_band
group by all
