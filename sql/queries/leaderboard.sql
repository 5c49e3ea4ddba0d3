-- Which trials have the best values? For each study, the query shows the ten trials with the best values.
-- psql -f sql/queries/leaderboard.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, rank, trial, round(value::numeric, 4) as value, direction, metric,
  round(score::numeric, 4) as score, params
from ledger.best_trials
where :'study' in (study, '') and rank <= 10
order by study, rank;
