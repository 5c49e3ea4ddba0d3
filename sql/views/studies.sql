-- All studies with their definitions and states. A role that can create studies can write any JSON value as an
-- objective. Therefore the expressions of the columns `objective_name` and `dataset` accept every JSON value.
create or replace view ledger.studies as
select
  study.id as study_id,
  study.name as study,
  state,
  reason,
  budget,
  batch_size,
  seed,
  objective,
  tuples,
  direction,
  loss_of_zero,
  metric,
  created_at,
  finished_at,
  spec,
  spec_hash,
  versions,
  max_failures,
  max_crashes,
  max_lost,
  lease,
  heartbeat,
  trial_timeout,
  target,
  patience,
  timeout_seconds,
  managed_seconds,
  stopped_by,
  stopping_at,
  changed_batch_size,
  archived_at,
  coalesce(annotation.tags, '{}') as tags,
  annotation.note,
  coalesce(annotation.attributes, '{}') as attributes,
  annotation.annotated_by,
  annotation.annotated_at,
  coalesce(
    study.objective ->> 'model',
    study.objective ->> 'estimator',
    study.objective ->> 'function',
    case jsonb_typeof(study.objective -> 'steps') when 'array' then (
      select string_agg(step.value ->> 1, ', ' order by step.place)
      from jsonb_array_elements(study.objective -> 'steps') with ordinality as step (value, place)) end,
    case jsonb_typeof(study.objective -> 'command') when 'array' then (
      select string_agg(word.value, ' ' order by word.place)
      from jsonb_array_elements_text(study.objective -> 'command') with ordinality as word (value, place)) end)
    as objective_name,
  coalesce(study.objective ->> 'dataset', study.objective -> 'data' ->> 'name') as dataset
from ledger.study
left join ledger.study_annotation as annotation on annotation.study_id = study.id;

comment on view ledger.studies is 'All studies with their definitions and states.';
comment on column ledger.studies.objective_name is
  'Model, estimator or function of the objective, the estimators of a pipeline, or the words of a command.';
comment on column ledger.studies.dataset is
  'Name of the dataset or of the data file; null if the objective names neither.';
comment on column ledger.studies.study_id is 'Number of the study, by which other tables refer to the study.';
comment on column ledger.studies.study is 'Unique name of the study.';
