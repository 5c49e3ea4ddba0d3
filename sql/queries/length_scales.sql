-- What did the surrogate learn about each parameter? For each iteration, the query shows the length scale of each
-- parameter. The length scales belong to the kernel of the surrogate that proposed the iteration. On the scale of the
-- parameter's prior, a length scale of 1 is as long as the parameter's whole range. If the distance between two values
-- is much shorter than the length scale, the surrogate predicts almost the same loss for the two values. A large length
-- scale means that the surrogate found no influence of the parameter on the loss. The maximum length scale is 100. A
-- categorical parameter with more than two unordered choices has one length scale for each choice. If a parameter has
-- several length scales, the query shows the shortest length scale. Only Gaussian processes with a Matern kernel have
-- length scales.
-- psql -f sql/queries/length_scales.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
with dimensions as (
  select study, place, dimension ->> 'name' as parameter,
    -- The number of columns that the parameter has in the input of the surrogate. A categorical parameter with more
    -- than two unordered choices has one input column for each choice. A categorical parameter with two choices, or
    -- with ordered choices, has one input column. A categorical parameter with one choice has no input column.
    case when dimension ->> 'type' <> 'categorical' or jsonb_typeof(dimension -> 'choices') <> 'array' then 1
         when dimension -> 'ordered' = 'true' and jsonb_array_length(dimension -> 'choices') > 1 then 1
         when jsonb_array_length(dimension -> 'choices') <= 2 then jsonb_array_length(dimension -> 'choices') - 1
         else jsonb_array_length(dimension -> 'choices') end as columns
  from ledger.studies, jsonb_array_elements(spec -> 'space') with ordinality as space (dimension, place)
  where :'study' in (study, '')),
placed as (
  -- The first element of the kernel's vector `theta` is the amplitude, and the last element is the noise.
  select *, 1 + sum(columns) over (partition by study order by place) - columns as first,
    sum(columns) over (partition by study) + 2 as length
  from dimensions)
select iterations.study, iterations.iteration, round(ledger.number(iterations.surrogate -> 'observations')::numeric)
    as fitted_to,
  -- The query limits the exponent to the range from -700 to 700, so that the length scale is in the range of a double.
  placed.parameter, round(min(exp(greatest(least(
    ledger.number(iterations.surrogate -> 'theta' -> place_in_theta::int), 700), -700)))::numeric, 3) as length_scale
from ledger.iterations
join placed on placed.study = iterations.study
cross join lateral generate_series(placed.first, placed.first + placed.columns - 1) as place_in_theta
where iterations.surrogate ->> 'kernel' like '%Matern%'
  and case jsonb_typeof(iterations.surrogate -> 'theta')
    when 'array' then jsonb_array_length(iterations.surrogate -> 'theta') = placed.length end
group by iterations.study, iterations.iteration, iterations.surrogate, placed.parameter, placed.place
order by iterations.study, iterations.iteration, placed.place;
