-- A study of the ledger has one objective. The study minimises or maximises the value of the objective.
create or replace view optuna.studies as
select id as study_id, name::varchar as study_name from ledger.study;

create or replace view optuna.study_directions as
select
  id as study_direction_id,
  case direction when 'maximize' then 'MAXIMIZE' else 'MINIMIZE' end::optuna.studydirection as direction,
  id as study_id,
  0 as objective
from ledger.study;
