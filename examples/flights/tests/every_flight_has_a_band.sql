-- The bands must cover every delay once: else flights are lost or counted twice.
select banded.flights as banded, staged.flights as staged
from (select sum(flights) as flights from {{ ref('delays_by_band') }}) as banded
cross join (select count(*) as flights from {{ ref('stg_flights') }}) as staged
where banded.flights != staged.flights
