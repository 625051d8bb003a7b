select
    flights.origin_airport as airport,
    airports.airport_name,
    airports.city,
    airports.state,
    count(*) as departures,
    round(avg(flights.delay_minutes), 2) as average_delay_minutes,
    {{ share('flights.delay_minutes > ' ~ var('late_after_minutes')) }} as late_share
from {{ ref('stg_flights') }} as flights
left join {{ ref('stg_airports') }} as airports
    on flights.origin_airport = airports.airport
group by all
order by departures desc, airport
