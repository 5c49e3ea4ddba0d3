-- A study of the ledger has one objective, whose value the study minimises or maximises.
create or replace view optuna.studies as
select id as study_id, name::varchar as study_name from ledger.study;

create or replace view optuna.study_directions as
select
  id as study_direction_id,
  case direction when 'maximize' then 'MAXIMIZE' else 'MINIMIZE' end::optuna.studydirection as direction,
  id as study_id,
  0 as objective
from ledger.study;

-- For Optuna, each key of a study's definition (the column spec) is a user attribute of the study. The budget, the
-- stopping criteria, the state and the reason for the state are user attributes of the study, too.
create or replace view optuna.study_user_attributes as
select
  study.id * 1048576::bigint + attribute.place as study_user_attribute_id,
  study.id as study_id,
  attribute.key::varchar as key,
  attribute.value::text as value_json
from ledger.study
cross join lateral (
  select key, value, row_number() over (order by key) as place
  from jsonb_each(study.spec || jsonb_build_object(
    'batch_size', study.batch_size,
    'budget', study.budget,
    'reason', study.reason,
    'state', study.state,
    'target', study.target,
    'patience', study.patience,
    'timeout_seconds', study.timeout_seconds,
    'stopped_by', study.stopped_by))
  where value <> 'null') as attribute;
