-- Which parameters matter? The query uses the ranks of the trials' values, so one huge value does not dominate the
-- result. The column `spearman` contains the rank correlation between the parameter and the value of a trial. If the
-- correlation is negative, the value of a trial usually decreases when the parameter increases. The parameter explains
-- a share of the variance of the ranks. The column `eta_squared` contains the share, from 0 to 1. To compute
-- `eta_squared`, the query divides the range of a numeric parameter into five parts. On the scale of the parameter's
-- prior, all five parts have the same width. Unlike `spearman`, `eta_squared` also detects an optimum in the middle of
-- the range. The column `by_chance` contains the value that `eta_squared` would have on average if the parameter had no
-- influence. If `eta_squared` is not much larger than `by_chance`, the parameter may have no influence.
-- psql -f sql/queries/importance.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
with ranked as materialized (
  select study, parameter, kind,
    case kind when 'categorical' then text else least(floor(5 * position), 4)::text end as part,
    -- If several trials have the same value, each of these trials gets the mean of their ranks. Trials that have the
    -- same position in the parameter's range also get the mean of their ranks.
    rank() over (partition by study, parameter order by value)
      + (count(*) over (partition by study, parameter, value) - 1) / 2::float8 as value_rank,
    case when position is not null then rank() over (partition by study, parameter order by position)
      + (count(*) over (partition by study, parameter, position) - 1) / 2::float8 end as position_rank
  from ledger.parameters
  where state = 'complete' and :'study' in (study, '')),
parts as (
  select study, parameter, kind, count(*) as trials, avg(value_rank) as mean_rank, sum(value_rank ^ 2) as square
  from ranked
  group by study, parameter, kind, part),
wholes as (
  select study, parameter, corr(value_rank, position_rank) as spearman, (count(*) + 1) / 2::float8 as mean_rank
  from ranked
  group by study, parameter)
select parts.study, parts.parameter, parts.kind, sum(parts.trials) as trials,
  round(wholes.spearman::numeric, 2) as spearman,
  round((sum(parts.trials * (parts.mean_rank - wholes.mean_rank) ^ 2)
    / nullif(sum(parts.square) - sum(parts.trials) * wholes.mean_rank ^ 2, 0))::numeric, 2) as eta_squared,
  round((count(*) - 1) / nullif(sum(parts.trials) - 1, 0), 2) as by_chance
from parts
join wholes on wholes.study = parts.study and wholes.parameter = parts.parameter
group by parts.study, parts.parameter, parts.kind, wholes.spearman, wholes.mean_rank
order by parts.study, eta_squared desc nulls last, parts.parameter;
