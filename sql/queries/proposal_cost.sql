-- How long do proposals take? For each iteration, the query shows the seconds for fitting the surrogate, and the
-- seconds for proposing the points. The query also shows the total time for fitting and proposing, as a percentage of
-- the iteration's duration. If the optimizer needed no time, the iteration would be shorter by the shown percentage.
-- The column `fitted_to` contains the number of trials to which the manager fitted the surrogate. The column
-- `fitted_to` is null for random points and for forests.
-- psql -f sql/queries/proposal_cost.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, iteration, size as trials, surrogate ->> 'estimator' as surrogate,
  round(ledger.number(coalesce(surrogate -> 'known', surrogate -> 'observations'))::numeric) as fitted_to,
  round(tell_seconds::numeric, 3) as fit_seconds, round(ask_seconds::numeric, 3) as propose_seconds,
  -- The query computes with the type numeric, because PostgreSQL raises an error if an operation with doubles
  -- underflows.
  round(100 * (ask_seconds + tell_seconds)::numeric
    / nullif((ask_seconds + tell_seconds)::numeric
      + case when told_at < asked_at then 0 else extract(epoch from told_at - asked_at) end, 0), 1) as percent
from ledger.iterations
where :'study' in (study, '')
order by study, iteration;
