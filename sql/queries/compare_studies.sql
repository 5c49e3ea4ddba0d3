-- Which search was better? The query sorts the studies by the lowest loss of each study. The value of a trial is the
-- value that the objective returned. The column `direction` says whether the lowest or the highest value is best. For
-- each study, the query shows the best trial, the number of complete trials, and the median value. The query also shows
-- the time from the creation of the study to the result of the best trial.
-- psql -f sql/queries/compare_studies.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select studies.study,
  coalesce(studies.objective ->> 'model', studies.objective ->> 'estimator', studies.objective #>> '{steps,-1,1}',
           studies.objective ->> 'function', left(command.words, 100)) as objective,
  coalesce(studies.spec ->> 'mode', 'batch') as mode, progress.state, progress.complete, progress.failed,
  studies.direction, round(best.value::numeric, 4) as best_value, best.trial as best_trial,
  round(extract(epoch from best.finished_at - studies.created_at), 1) as seconds_to_best,
  round(spread.median::numeric, 4) as median_value
from ledger.studies
join ledger.progress on progress.study = studies.study
left join ledger.best_trials as best on best.study = studies.study and best.rank = 1
left join lateral (
  select percentile_disc(0.5) within group (order by value) as median
  from ledger.trials
  where trials.study_id = studies.study_id and trials.state = 'complete') as spread on true
left join lateral (
  select string_agg(word, ' ' order by place) as words
  from jsonb_array_elements_text(studies.objective -> 'command') with ordinality as argument (word, place)) as command
  on true
where :'study' in (studies.study, '')
order by best.loss nulls last, studies.study;
