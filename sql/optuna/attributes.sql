-- For Optuna, each key of a study's definition (the column `spec`) is a user attribute of the study. In addition, the
-- user attributes of a study include the budget, the stopping criteria, the state, the reason for the state, the best
-- value, the tags and the attributes that a user has set. If a user's attribute has the same name as another attribute
-- of the study, the view adds the prefix `attributes_` to the name of the user's attribute.
create or replace view optuna.study_user_attributes as
select
  study.id * 1048576::bigint + attribute.place as study_user_attribute_id,
  study.id as study_id,
  attribute.key::varchar as key,
  attribute.value::text as value_json
from ledger.study
left join ledger.study_annotation as annotation on annotation.study_id = study.id
cross join lateral (
  select study.spec || jsonb_build_object(
    'batch_size', study.batch_size,
    'best_value', (
      select value.value
      from optuna.trial_values as value
      where value.trial_id = (
        select trial.trial_id
        from optuna.ledger_trials as trial
        where trial.study_id = study.id and trial.state = 'complete'
        order by trial.loss, trial.number
        limit 1)),
    'budget', study.budget,
    'reason', study.reason,
    'state', study.state,
    'tags', to_jsonb(nullif(annotation.tags, '{}')),
    'target', study.target,
    'patience', study.patience,
    'timeout_seconds', study.timeout_seconds,
    'stopped_by', study.stopped_by) as facts
  -- Without the clause "offset 0", the planner could compute the facts about a study again for each attribute.
  offset 0) as recorded
cross join lateral (
  select key, value, row_number() over (order by key) as place
  from (
    select key, value from jsonb_each(recorded.facts) where value <> 'null'
    union all
    select case when recorded.facts ? key then 'attributes_' else '' end || key, value
    from jsonb_each(annotation.attributes)) as every) as attribute;

-- Optuna's dashboard keeps the notes of a study and of its trials as system attributes of the study.
create or replace view optuna.study_system_attributes as
select
  note.study_id * 4194304::bigint + note.place * 2 + part.place as study_system_attribute_id,
  note.study_id,
  part.key::varchar as key,
  part.value as value_json
from (
  select study_id, 0 as place, 'dashboard:' as prefix, note
  from ledger.study_annotation
  where note is not null
  union all
  select trial.study_id, trial.number + 1, format('dashboard:%s:', trial.trial_id), annotation.note
  from ledger.trial_annotation as annotation
  join optuna.ledger_trials as trial on trial.study_id = annotation.study_id and trial.number = annotation.trial
  where annotation.note is not null and trial.trial_id is not null) as note
cross join lateral (values
  (0, note.prefix || 'note_ver', '1'),
  (1, note.prefix || 'note_str:0', to_jsonb(note.note)::text)) as part (place, key, value);
