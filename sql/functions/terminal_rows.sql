-- Triggers that refuse every change of an ended trial, of an ended attempt, or of an iteration whose losses the
-- optimizer has received. Only the row of a lost attempt may still change, because the worker of a lost attempt may
-- record the real outcome. The triggers fire for every role and with every value of the setting
-- session_replication_role. The triggers allow the deletion of an ended trial, iteration or attempt only if the owner
-- of the tables deletes the whole study. Only the owner of the tables can delete a study.
create or replace function ledger.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'DELETE' and not exists (select from ledger.study where id = old.study_id) then
    return old;
  end if;
  raise exception '% of a terminal row of ledger.% is refused: what has ended does not change', tg_op, tg_table_name
    using errcode = 'restrict_violation', hint = 'A retry is a new trial; ledger study delete removes a whole study.';
end
$$;

comment on function ledger.refuse_change is
  'Trigger: refuse to change or delete a row that has ended, unless the whole study is deleted.';

-- The worker of a lost attempt may still train the trial, and may record the real outcome of the attempt once. The
-- columns `claim`, `trial`, `number`, `worker` and `claimed_at` of an attempt cannot change.
create or replace function ledger.refuse_change_of_attempt() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if old.outcome = 'lost' and new.outcome <> 'lost'
     and (new.claim, new.study_id, new.trial, new.number, new.worker, new.claimed_at)
       = (old.claim, old.study_id, old.trial, old.number, old.worker, old.claimed_at) then
    return new;
  end if;
  raise exception 'UPDATE of an ended attempt is refused: what has ended does not change'
    using errcode = 'restrict_violation';
end
$$;

comment on function ledger.refuse_change_of_attempt is
  'Trigger: refuse to change an attempt that has ended. The worker of a lost attempt may record the real outcome once.';

create or replace trigger terminal_trials_do_not_change before update or delete on ledger.trial
  for each row when (old.state in ('complete', 'pruned', 'failed', 'cancelled')) execute function ledger.refuse_change();
create or replace trigger told_iterations_do_not_change before update or delete on ledger.iteration
  for each row when (old.told_at is not null) execute function ledger.refuse_change();
create or replace trigger ended_attempts_do_not_change before update on ledger.attempt
  for each row when (old.ended_at is not null) execute function ledger.refuse_change_of_attempt();
create or replace trigger ended_attempts_are_not_deleted before delete on ledger.attempt
  for each row when (old.ended_at is not null) execute function ledger.refuse_change();

create or replace trigger trials_are_not_truncated before truncate on ledger.trial
  for each statement execute function ledger.refuse_change();
create or replace trigger iterations_are_not_truncated before truncate on ledger.iteration
  for each statement execute function ledger.refuse_change();
create or replace trigger attempts_are_not_truncated before truncate on ledger.attempt
  for each statement execute function ledger.refuse_change();

alter table ledger.trial enable always trigger terminal_trials_do_not_change;
alter table ledger.trial enable always trigger trials_are_not_truncated;
alter table ledger.iteration enable always trigger told_iterations_do_not_change;
alter table ledger.iteration enable always trigger iterations_are_not_truncated;
alter table ledger.attempt enable always trigger ended_attempts_do_not_change;
alter table ledger.attempt enable always trigger ended_attempts_are_not_deleted;
alter table ledger.attempt enable always trigger attempts_are_not_truncated;
