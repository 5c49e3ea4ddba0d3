-- Which parameters make training slow? For each numeric parameter, the query shows the rank correlation between the
-- parameter and the training time in seconds. The query divides the values of each parameter into parts, and shows the
-- part with the fastest training and the part with the slowest training. For a numeric parameter, the query divides the
-- range into five parts, with the numbers 0 to 4. For a categorical parameter, each choice is one part.
-- psql -f sql/queries/slow_parameters.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
with ranked as materialized (
  select parameters.study, parameters.parameter, parameters.kind, trained.seconds,
    case parameters.kind when 'categorical' then parameters.text
         else least(floor(5 * parameters.position), 4)::text end as part,
    rank() over (partition by parameters.study, parameters.parameter order by trained.seconds) as seconds_rank,
    case when parameters.position is not null
         then rank() over (partition by parameters.study, parameters.parameter order by parameters.position)
    end as position_rank
  from ledger.parameters
  join ledger.attempts as trained
    on trained.study = parameters.study and trained.trial = parameters.trial and trained.outcome = 'complete'
  where trained.seconds is not null and :'study' in (parameters.study, '')),
correlated as (
  select study, parameter, corr(seconds_rank, position_rank) as spearman from ranked group by study, parameter),
parts as (
  select study, parameter, kind, part, avg(seconds) as seconds from ranked group by study, parameter, kind, part)
select parts.study, parts.parameter, parts.kind, round(correlated.spearman::numeric, 2) as spearman,
  (array_agg(parts.part order by parts.seconds, parts.part))[1] as fastest_part,
  round(min(parts.seconds)::numeric, 4) as fastest_seconds,
  (array_agg(parts.part order by parts.seconds desc, parts.part))[1] as slowest_part,
  round(max(parts.seconds)::numeric, 4) as slowest_seconds
from parts
join correlated on correlated.study = parts.study and correlated.parameter = parts.parameter
group by parts.study, parts.parameter, parts.kind, correlated.spearman
order by parts.study, max(parts.seconds)::numeric / nullif(min(parts.seconds), 0)::numeric desc nulls last,
  parts.parameter;
