-- Which parameters make training slow? Spearman's correlation of each number with the seconds of training, and for each
-- parameter the fastest and the slowest of its parts: categories, or fifths of a number's range (from 0 to 4).
-- psql -f sql/queries/slow_parameters.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
with timed as (
  select parameters.study, parameters.parameter, parameters.kind, parameters.position, trials.seconds,
    case parameters.kind when 'categorical' then parameters.text
         else least(floor(5 * parameters.position), 4)::text end as part
  from ledger.parameters
  join ledger.trials on trials.study = parameters.study and trials.number = parameters.trial
  where parameters.state = 'complete' and :'study' in (parameters.study, '')),
ranked as (
  select *,
    rank() over (partition by study, parameter order by seconds) as seconds_rank,
    case when kind <> 'categorical' then rank() over (partition by study, parameter order by position) end
      as position_rank
  from timed
  where seconds is not null),
correlated as (
  select study, parameter, corr(seconds_rank, position_rank) as spearman from ranked group by study, parameter),
parts as (
  select study, parameter, kind, part, avg(seconds) as seconds from ranked group by study, parameter, kind, part)
select parts.study, parts.parameter, parts.kind, round(correlated.spearman::numeric, 2) as spearman,
  (array_agg(parts.part order by parts.seconds))[1] as fastest_part, round(min(parts.seconds)::numeric, 4) as fastest_seconds,
  (array_agg(parts.part order by parts.seconds desc))[1] as slowest_part, round(max(parts.seconds)::numeric, 4) as slowest_seconds
from parts
join correlated on correlated.study = parts.study and correlated.parameter = parts.parameter
group by parts.study, parts.parameter, parts.kind, correlated.spearman
order by parts.study, max(parts.seconds) / nullif(min(parts.seconds), 0) desc nulls last, parts.parameter;
