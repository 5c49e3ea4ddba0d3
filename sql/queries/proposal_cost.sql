-- What do proposals cost? Seconds to fit the surrogate and to propose, iteration by iteration, and their share of the
-- iteration's whole time: what the search would gain from an optimizer that takes no time. Fitted to is how many trials
-- the surrogate knew; null where points were drawn at random, and for forests.
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
