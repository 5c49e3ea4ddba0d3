-- What do proposals cost? The seconds of each iteration to fit the surrogate and to propose, and their share of the
-- iteration's whole time. The search would gain that share from an optimizer that takes no time. fitted_to is the
-- number of trials that the surrogate knew; null for points that were drawn at random, and for forests.
-- psql -f sql/queries/proposal_cost.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
select study, number as iteration, size as trials, surrogate ->> 'estimator' as surrogate,
  coalesce(surrogate ->> 'known', surrogate ->> 'points')::int as fitted_to,
  round(tell_seconds::numeric, 3) as fit_seconds, round(ask_seconds::numeric, 3) as propose_seconds,
  round(100 * ((ask_seconds + tell_seconds)
    / nullif(ask_seconds + tell_seconds + extract(epoch from told_at - asked_at)::float8, 0))::numeric, 1) as percent
from ledger.iterations
where :'study' in (study, '')
order by study, number;
