-- For the manager that holds a study in steady mode with the rule `promotion`, let the best paused trials of the study
-- go on. A trial pauses at a rung (ledger.prune). A paused trial goes on if the trial is now among the best 1/eta of
-- all arrivals at its rung (ledger.ready_for_promotion). The function begins with the highest rung. At each rung, the
-- function begins with the best trial. For each trial that goes on, the function inserts a row into ledger.promotion.
-- The function skips a trial whose row another session has locked. The function ends no trial. Only ledger.prune_paused
-- prunes the paused trials.
--   free: the largest number of trials that may go on. The manager limits this number, because the number of trials in
--     flight is limited.
-- The answer has a row for each rung at which the function has promoted trials:
--   rung: the step of the rung.
--   arrivals: the number of arrivals at the rung.
--   trials: the numbers of the trials that go on.
-- The answer has no rows if the function changed nothing. The possible reasons are: the manager does not hold the
-- study, no paused trial can go on, other sessions have locked all paused trials that can go on, or `free` is 0. The
-- manager then calls the function again later.
create or replace function ledger.promote_waiting(study_id int, claim uuid, free int)
returns table (rung bigint, arrivals int, trials int[])
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  parent ledger.study := ledger.held_study(promote_waiting.study_id, promote_waiting.claim);
  candidate record;
  slots int := promote_waiting.free;
begin
  if parent.id is null or parent.spec ->> 'mode' is distinct from 'steady'
     or parent.spec -> 'stopping' ->> 'rule' is distinct from 'promotion' then
    return;
  end if;
  trials := '{}';
  for candidate in select * from ledger.ready_for_promotion(parent.id, parent.spec -> 'stopping') loop
    exit when slots <= 0;
    perform from ledger.trial
    where trial.study_id = parent.id and trial.number = candidate.trial and trial.state = 'paused'
    for no key update skip locked;
    continue when not found;
    if trials <> '{}' and candidate.rung <> rung then
      return next;
      trials := '{}';
    end if;
    rung := candidate.rung;
    arrivals := candidate.arrivals;
    trials := trials || candidate.trial;
    slots := slots - 1;
    insert into ledger.promotion (study_id, trial, rung, arrivals, promoted_at)
    values (parent.id, candidate.trial, candidate.rung, candidate.arrivals, moment);
    update ledger.trial
    set state = 'pending', available_at = moment
    where trial.study_id = parent.id and trial.number = candidate.trial;
  end loop;
  if trials <> '{}' then
    perform ledger.notify('ledger');
    return next;
  end if;
end
$$;

comment on function ledger.promote_waiting is
  'Let at most the given number of paused trials of a study in steady mode go on, for the manager that holds the study. '
  'Answers a row for each rung at which trials go on.';
