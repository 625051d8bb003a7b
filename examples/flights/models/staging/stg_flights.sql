select
    date as departed_at,
    cast(date as date) as flight_date,
    delay as delay_minutes,
    distance as distance_miles,
    origin as origin_airport,
    destination as destination_airport
from {{ source('public_data', 'flights-3m') }}
