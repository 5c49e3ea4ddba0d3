-- Every manager that holds a study. The view does not show the manager's claim. A manager is alive while its lease is
-- valid, unless the manager's session has ended.
create or replace view ledger.managers as
select
  manager.study_id,
  study.name as study,
  manager.name as manager,
  manager.claimed_at,
  manager.lease_until,
  not ledger.lease_ended(manager.lease_until, manager.lease, ledger.clock())
    and not ledger.session_ended(manager.backend_pid, manager.backend_started_at) as alive
from ledger.manager
join ledger.study on study.id = manager.study_id;

comment on view ledger.managers is
  'Every manager that holds a study, with the end of its lease, and whether the manager is alive.';
comment on column ledger.managers.study is 'Name of the study.';
comment on column ledger.managers.alive is
  'True if the manager''s lease has not ended, and the manager''s session is open or unknown.';
comment on column ledger.managers.manager is 'Name of the manager, made of host, process id and random digits.';
