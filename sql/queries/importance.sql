-- Which parameters matter? All by ranks, so that one huge loss does not decide. Spearman's correlation with the loss
-- says which way to go (negative: more is better); eta squared is the share of the variance of the losses' ranks that is
-- between categories, or between fifths of a number's range in its prior's scale: it sees what is best in the middle
-- too. A parameter without any influence has by_chance on average, so what is not well above it is not known to matter.
-- psql -f sql/queries/importance.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
with ranked as (
  select study, parameter, kind,
    case kind when 'categorical' then text else least(floor(5 * position), 4)::text end as part,
    -- of equals, the mean of their ranks
    rank() over (of_study order by loss) + (count(*) over (partition by study, parameter, loss) - 1) / 2.0 as loss_rank,
    rank() over (of_study order by position) + (count(*) over (partition by study, parameter, position) - 1) / 2.0 as position_rank
  from ledger.parameters
  where state = 'complete' and :'study' in (study, '')
  window of_study as (partition by study, parameter)),
compared as (
  select *,
    avg(loss_rank) over (partition by study, parameter, part) as of_part,
    avg(loss_rank) over (partition by study, parameter) as of_all
  from ranked)
select study, parameter, kind, count(*) as trials,
  round(corr(loss_rank, case when kind <> 'categorical' then position_rank end)::numeric, 2) as spearman,
  round(sum((of_part - of_all) ^ 2) / nullif(sum((loss_rank - of_all) ^ 2), 0), 2) as eta_squared,
  round((count(distinct part) - 1.0) / nullif(count(*) - 1, 0), 2) as by_chance
from compared
group by study, parameter, kind
order by study, eta_squared desc nulls last, parameter;
