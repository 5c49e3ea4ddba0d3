-- What did the model learn of each parameter? The length scales of the kernel that proposed each iteration, in units of
-- the parameter's whole range in the scale of its prior. Over a much shorter distance the loss hardly changes, so a
-- large length scale (at most 100) means that the model sees no influence of the parameter. A category with more than
-- two choices has the shortest one of its choices. Only Gaussian processes with a Matern kernel have length scales.
-- psql -f sql/queries/length_scales.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
with dimensions as (
  select name as study, place, dimension ->> 'name' as parameter,
    -- columns in the model: one for a number, one for each choice of a category, one for two choices, none for one
    case when dimension ->> 'type' <> 'categorical' then 1
         when jsonb_array_length(dimension -> 'choices') <= 2 then jsonb_array_length(dimension -> 'choices') - 1
         else jsonb_array_length(dimension -> 'choices') end as columns
  from ledger.studies, jsonb_array_elements(spec -> 'space') with ordinality as space (dimension, place)
  where :'study' in (name, '')),
offsets as (
  -- theta begins with the amplitude and ends with the noise
  select *, 1 + sum(columns) over (partition by study order by place) - columns as first,
    sum(columns) over (partition by study) + 2 as length
  from dimensions)
select iterations.study, iterations.number as iteration, (iterations.surrogate ->> 'points')::int as fitted_to,
  offsets.parameter, round(min(exp((iterations.surrogate -> 'theta' ->> place_in_theta::int)::float8))::numeric, 3)
    as length_scale
from ledger.iterations
join offsets on offsets.study = iterations.study
cross join lateral generate_series(offsets.first, offsets.first + offsets.columns - 1) as place_in_theta
where iterations.surrogate ->> 'kernel' like '%Matern%'
  and jsonb_array_length(iterations.surrogate -> 'theta') = offsets.length
group by iterations.study, iterations.number, iterations.surrogate, offsets.parameter, offsets.place
order by iterations.study, iterations.number, offsets.place;
