{#- Share of rows for which a condition holds, rounded so that every run gives the same digits. -#}
{% macro share(condition) -%}
    round(count(*) filter (where {{ condition }}) / count(*), 4)
{%- endmacro %}
