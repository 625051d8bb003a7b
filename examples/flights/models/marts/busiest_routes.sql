select
    origin_airport,
    destination_airport,
    any_value(distance_miles) as distance_miles,
    count(*) as flights
from {{ ref('stg_flights') }}
group by origin_airport, destination_airport
order by flights desc, origin_airport, destination_airport
limit 100
