-- Which part of the search space contains the best trials? The query uses the best quarter of each study's complete
-- trials. For the best quarter of the trials, the query shows the range of each numeric parameter, and the number of
-- trials with each choice of a categorical parameter. The last column (`tried`) describes all complete trials. For a
-- numeric parameter, the column `tried` shows the range of the values in all complete trials. For a categorical
-- parameter, the column `tried` shows the number of choices.
-- psql -f sql/queries/good_region.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
with placed as (
  select study, trial, ntile(4) over (partition by study order by rank) = 1 as is_good
  from ledger.best_trials
  where :'study' in (study, '')),
counted as (
  select parameters.study, parameters.parameter, parameters.kind, placed.is_good,
    case parameters.kind when 'categorical' then parameters.text end as choice, count(*) as trials,
    min(parameters.number) as low, max(parameters.number) as high
  from placed
  join ledger.parameters on parameters.study = placed.study and parameters.trial = placed.trial
  group by parameters.study, parameters.parameter, parameters.kind, placed.is_good, choice)
select study, parameter, kind, sum(trials) filter (where is_good) as trials,
  case kind
    when 'categorical'
    then string_agg(choice || ' × ' || trials, ', ' order by trials desc, choice) filter (where is_good)
    else trim(to_char(min(low) filter (where is_good), '9.99EEEE')) || ' to '
      || trim(to_char(max(high) filter (where is_good), '9.99EEEE'))
  end as good,
  case kind
    when 'categorical' then count(distinct choice) || ' choices'
    else trim(to_char(min(low), '9.99EEEE')) || ' to ' || trim(to_char(max(high), '9.99EEEE'))
  end as tried
from counted
group by study, parameter, kind
order by study, parameter;
