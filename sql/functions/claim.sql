-- Claim pending trials for a worker. The worker creates the claims, which are at most 64 distinct random UUIDs. For
-- each claim that the worker sends, the function takes at most one trial. If a worker receives no answer, the worker
-- can send the same claims again, and gets the same trials. If no trial is pending, the answer has no rows. All trials
-- in one answer belong to the same study. The function takes enqueued trials before all other trials. If a worker has
-- claimed several trials, the worker first trains the trial with the lowest number. If the study has groups, a trial
-- waits for trials with lower numbers (ledger.decide). Therefore the function then takes one trial at a time, in the
-- order of the numbers.
--   study: the name of the study. If the study's name is null, the function takes trials of the oldest running study
--     that has pending trials.
--   worker: the name of the worker, which the worker also passes to ledger.announce.
--   leave_out: the ids of studies that the worker has refused (ledger.refuse). The function takes no trials of the
--     studies in `leave_out`.
-- The function takes no trials of a study that meets a stopping criterion (ledger.stop).
-- If the study has no rule of early stopping, the column `stopping` of the answer is null. Otherwise the column contains
-- the answer of ledger.trial_stopping.
-- The column `code` of the answer contains the number of the code version that is valid for the study
-- (ledger.objective_code). The column `code` is null if the ledger has no version of the study's code. A worker sends
-- several claims at once if the training of a trial takes less time than a call of this function. If a worker sends
-- several claims, the worker gets at most its share of the pending trials. The share of a worker is the number of
-- pending trials divided by the number of live workers. The worker calls ledger.heartbeat within every lease to renew
-- each claim. The worker calls ledger.complete, ledger.fail or ledger.release to end each claim. Sequential scans are
-- disabled in this function, and in most other functions that a worker calls. For small tables, PostgreSQL would choose
-- query plans with sequential scans. A session would use the plans with sequential scans even after the tables have
-- grown. This function also disables sorts, because an index contains the pending trials in the right order. A query
-- plan with a sort would first read all ended trials.
create or replace function ledger.claim(study text, claims uuid[], worker text, leave_out int[] default '{}')
returns table (
  claim uuid, study_id int, study_name text, trial int, attempt int, params jsonb, objective jsonb, study_seed bigint,
  lease_seconds float8, heartbeat_seconds float8, timeout_seconds float8, code int, tuples jsonb,
  stopping jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_sort = off set enable_incremental_sort = off set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
  moment timestamptz := ledger.clock();
  candidate ledger.study;
  wanted int := cardinality(claims);
  share int;
  has_groups boolean;
  workers int;
  numbers int[];
  lowest int;
  current int;
begin
  if wanted > 64 then
    raise exception '% claims at once are too many: 64 are the most', wanted using errcode = 'invalid_parameter_value';
  end if;
  -- A worker may repeat a call before the first call has committed. Because of the advisory lock, the second call waits
  -- for the first call, and then returns the same trials. Every role can read the key of the advisory lock in pg_locks.
  -- If no superuser has run sql/roles.sql, every role can also take an advisory lock with the same key. Therefore a
  -- wait for the advisory lock ends after the lock_timeout of this function. Even without the advisory lock, a worker
  -- cannot claim two trials with one claim, because the claim is the primary key of the table `attempt`.
  if not pg_try_advisory_xact_lock(uuid_hash_extended(claims[1], 0)) then
    begin
      perform pg_advisory_xact_lock(uuid_hash_extended(claims[1], 0));
    exception when lock_not_available then
      null;
    end;
  end if;
  if exists (select from ledger.attempt where attempt.claim = any (claims)) then
    return query
    select
      trial.claim, study.id, study.name, trial.number, trial.attempts, trial.params, study.objective, study.seed,
      extract(epoch from study.lease)::float8, extract(epoch from study.heartbeat)::float8,
      extract(epoch from study.trial_timeout)::float8, ledger.current_code(study.id), study.tuples,
      case when study.spec ? 'stopping'
           then ledger.trial_stopping(study.id, study.seed, study.spec -> 'stopping', trial.number, trial.iteration) end
    from ledger.attempt
    join ledger.trial on trial.study_id = attempt.study_id and trial.number = attempt.trial
    join ledger.study on study.id = trial.study_id
    where attempt.claim = any (claims) and trial.claim = attempt.claim and trial.state = 'running';
    return;
  end if;

  if wanted > 1 then
    select greatest(count(*), 1) into workers
    from ledger.worker
    where stopped_at is null and ledger.announced_recently(last_seen_at, moment);
  end if;
  for candidate in
    select * from ledger.study
    where state = 'running' and stopped_by is null and (claim.study is null or name = claim.study)
      and id <> all (leave_out)
    order by id
  loop
    has_groups := coalesce(candidate.spec -> 'stopping' ? 'group_size', false);
    share := case when has_groups then 1 else wanted end;
    if share > 1 then
      -- If at least `wanted * workers` trials are pending, the share of the worker contains all wanted trials.
      -- Therefore the query counts at most `wanted * workers` pending trials.
      select greatest(count(*) / workers, 1) into share
      from (
        select from ledger.trial
        where trial.study_id = candidate.id and trial.state = 'pending'
        order by trial.source <> 'enqueued', trial.iteration, trial.number
        limit wanted * workers) as pending;
    end if;
    -- A subquery with "limit" and "for update" can return more rows than its limit. Therefore this query stores the
    -- numbers of the trials in an array. The query compares the state with a literal instead of a parameter, because a
    -- generic plan with a parameter could not use the index of pending trials. After the release of a trial, no worker
    -- can claim the trial until the pause ends. If the remaining time until `available_at` is longer than the whole
    -- pause, the database's clock was set back after the release. A worker can then claim the trial at once.
    -- The first query does not call ledger.is_claimable, because the call would take time.
    if not has_groups then
      numbers := array(
        select trial.number
        from ledger.trial
        where trial.study_id = candidate.id and trial.state = 'pending'
          and (trial.available_at <= moment
               or trial.available_at - ledger.release_pause(ledger.releases(trial)) > moment)
        order by trial.source <> 'enqueued', trial.iteration, trial.number
        limit share
        for no key update skip locked);
    else
      numbers := array(
        select trial.number
        from ledger.trial
        where trial.study_id = candidate.id and trial.state = 'pending' and ledger.is_claimable(trial, moment)
        order by trial.number
        limit share
        for no key update skip locked);
    end if;
    continue when numbers = '{}';
    lowest := numbers[1];
    if share > 1 then
      -- The first element of `numbers` is not always the lowest number, because enqueued trials come first.
      lowest := (select min(number) from unnest(numbers) as number);
    end if;
    current := ledger.current_code(candidate.id);
    return query
    with taken as (
      update ledger.trial
      set state = 'running', claim = claims[array_position(numbers, trial.number)], worker = claim.worker,
          attempts = trial.attempts + 1, claimed_at = moment, lease_until = moment + candidate.lease,
          -- If the worker claims several trials, only the trial that the worker trains first gets a deadline in this
          -- statement. The time limit of a later trial begins when the worker starts to train the later trial.
          deadline_at = case when trial.number = lowest then moment + candidate.trial_timeout end
      where trial.study_id = candidate.id and trial.number = any (numbers)
      returning trial.claim, trial.number, trial.iteration, trial.attempts, trial.params),
    recorded as (
      insert into ledger.attempt (claim, study_id, trial, number, worker, claimed_at)
      select taken.claim, candidate.id, taken.number, taken.attempts, claim.worker, moment from taken)
    select
      taken.claim, candidate.id, candidate.name, taken.number, taken.attempts, taken.params, candidate.objective,
      candidate.seed, extract(epoch from candidate.lease)::float8, extract(epoch from candidate.heartbeat)::float8,
      extract(epoch from candidate.trial_timeout)::float8, current, candidate.tuples,
      case when candidate.spec ? 'stopping'
           then ledger.trial_stopping(
             candidate.id, candidate.seed, candidate.spec -> 'stopping', taken.number, taken.iteration) end
    from taken;
    return;
  end loop;
end
$$;

comment on function ledger.claim is
  'Take pending trials of the named study, or of any running study if study is null. Each of the claims (at most 64 '
  'random UUIDs) gets at most one trial. If no trial is pending, the answer has no rows. The same claims get the same '
  'answer.';
