{% test is_share(model, column_name) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} not between 0 and 1
{% endtest %}
