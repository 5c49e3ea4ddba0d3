-- Which parameters are best? The ten trials with the lowest loss of each study.
-- psql -f sql/queries/leaderboard.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study '' \endif
select study, rank, trial, round(loss::numeric, 4) as loss, metric, round(score::numeric, 4) as score, params
from ledger.best_trials
where :'study' in (study, '') and rank <= 10
order by study, rank;
