-- How long do proposals take? The seconds for fitting the surrogate and for proposing each iteration, and their share
-- of the iteration's time. The search would gain this share from an optimizer that takes no time. fitted_to is the
-- number of trials that the surrogate was fitted to; it is null for random points and for forests.
-- psql -f sql/queries/proposal_cost.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
select study, number as iteration, size as trials, surrogate ->> 'estimator' as surrogate,
  coalesce(surrogate ->> 'known', surrogate ->> 'observations')::int as fitted_to,
  round(tell_seconds::numeric, 3) as fit_seconds, round(ask_seconds::numeric, 3) as propose_seconds,
  round(100 * ((ask_seconds + tell_seconds)
    / nullif(ask_seconds + tell_seconds + extract(epoch from told_at - asked_at)::float8, 0))::numeric, 1) as percent
from ledger.iterations
where :'study' in (study, '')
order by study, number;
