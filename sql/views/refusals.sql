-- Each study that a live worker refuses, and the reason for the refusal.
create or replace view ledger.refusals as
select
  refusal.worker,
  refusal.study_id,
  study.name as study,
  refusal.reason,
  refusal.refused_at
from ledger.refusal
join ledger.study on study.id = refusal.study_id
join ledger.worker on worker.name = refusal.worker
where worker.stopped_at is null and ledger.announced_recently(worker.last_seen_at, ledger.clock());

comment on view ledger.refusals is
  'The studies that live workers refuse, because they cannot load the study''s objective, with the reasons.';
comment on column ledger.refusals.study is 'Name of the study.';
