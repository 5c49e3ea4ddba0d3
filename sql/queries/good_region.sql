-- Which part of the space is good? Of the best quarter of each study's trials, the range of each number, beside the range
-- that was tried, and the categories with how many of the trials have each.
-- psql -f sql/queries/good_region.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
with placed as (
  select study, trial, ntile(4) over (partition by study order by rank) = 1 as is_good
  from ledger.best_trials
  where :'study' in (study, '')),
counted as (
  select parameters.study, parameters.parameter, parameters.kind, placed.is_good, parameters.text,
    parameters.number, count(*) as trials
  from placed
  join ledger.parameters on parameters.study = placed.study and parameters.trial = placed.trial
  group by parameters.study, parameters.parameter, parameters.kind, placed.is_good, parameters.text, parameters.number)
select study, parameter, kind, sum(trials) filter (where is_good) as trials,
  case kind
    when 'categorical'
    then string_agg(text || ' × ' || trials, ', ' order by trials desc, text) filter (where is_good)
    else trim(to_char(min(number) filter (where is_good), '9.99EEEE')) || ' to '
      || trim(to_char(max(number) filter (where is_good), '9.99EEEE'))
  end as good,
  case kind
    when 'categorical' then count(distinct text) || ' choices'
    else trim(to_char(min(number), '9.99EEEE')) || ' to ' || trim(to_char(max(number), '9.99EEEE'))
  end as tried
from counted
group by study, parameter, kind
order by study, parameter;
