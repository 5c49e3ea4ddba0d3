-- What each role may do in schema ledger. Every upgrade ends by running this, as the schema's owner, so that it is what
-- is written here and nothing else. The roles are those of roles.sql; where they are not, only the owner gets in.
revoke all on schema ledger from public;
revoke all on all tables in schema ledger from public;
revoke all on all sequences in schema ledger from public;
revoke all on all routines in schema ledger from public;

do $$
declare
  thing text;
begin
  -- A worker: the protocol's functions alone, each of which asks for a claim that only its holder knows.
  if to_regrole('ledger_worker') is not null then
    revoke all on all tables in schema ledger from ledger_worker;
    revoke all on all routines in schema ledger from ledger_worker;
    grant usage on schema ledger to ledger_worker;
    grant execute on function
      ledger.claim,
      ledger.heartbeat,
      ledger.complete,
      ledger.fail,
      ledger.release,
      ledger.announce,
      ledger.dataset,
      ledger.ended,
      ledger.revision
    to ledger_worker;
  end if;

  -- A reader: the views, none of which shows a claim. Some of them ask for the time, or read numbers from JSON. And
  -- what a study trains on, which an export has.
  if to_regrole('ledger_reader') is not null then
    revoke all on all tables in schema ledger from ledger_reader;
    revoke all on all routines in schema ledger from ledger_reader;
    grant usage on schema ledger to ledger_reader;
    grant execute on function ledger.clock, ledger.dataset, ledger.number, ledger.revision to ledger_reader;
    grant select on
      ledger.attempts,
      ledger.best_trials,
      ledger.convergence,
      ledger.datasets,
      ledger.iteration_regret,
      ledger.iterations,
      ledger.outcomes,
      ledger.parameters,
      ledger.progress,
      ledger.regret,
      ledger.studies,
      ledger.trial_times,
      ledger.trials,
      ledger.utilisation,
      ledger.workers
    to ledger_reader;
  end if;

  -- A manager: reads as a reader does, inserts proposals, and steers studies and iterations. It never writes to a trial
  -- or an attempt but by a function.
  if to_regrole('ledger_manager') is not null then
    revoke all on all tables in schema ledger from ledger_manager;
    revoke all on all routines in schema ledger from ledger_manager;
    grant usage on schema ledger to ledger_manager;
    grant execute on function
      ledger.cancel,
      ledger.cancel_trials,
      ledger.clock,
      ledger.dataset,
      ledger.enqueue,
      ledger.import_trials,
      ledger.keep_dataset,
      ledger.number,
      ledger.reap,
      ledger.retry,
      ledger.revision
    to ledger_manager;
    grant select on
      ledger.attempts,
      ledger.best_trials,
      ledger.convergence,
      ledger.datasets,
      ledger.iteration_regret,
      ledger.iterations,
      ledger.outcomes,
      ledger.parameters,
      ledger.progress,
      ledger.regret,
      ledger.studies,
      ledger.trial_times,
      ledger.trials,
      ledger.utilisation,
      ledger.workers
    to ledger_manager;
    grant
      select,
      insert (name, spec, spec_hash, iterations, state, created_at, versions),
      update (iterations, state, reason, finished_at)
    on ledger.study to ledger_manager;
    grant
      select,
      insert (study_id, number, round, size, asked_at, ask_seconds, tell_seconds, surrogate, environment, seen),
      update (round, size, ask_seconds, tell_seconds, surrogate, environment, told_at, mean_loss, best_loss)
    on ledger.iteration to ledger_manager;
    -- all columns but the claim
    grant
      select (study_id, number, iteration, round, source, retry_of, params, state, attempts, failures, lost,
              available_at, worker, claimed_at, lease_until, deadline_at, finished_at, loss, metrics, error),
      insert (study_id, number, iteration, round, source, params, available_at)
    on ledger.trial to ledger_manager;
  end if;

  -- The flattened view of a study, as `ledger study view` makes it, is for whoever reads the others.
  for thing in
    select format('%s to %s', oid::regclass, role)
    from pg_class, unnest(array['ledger_reader', 'ledger_manager']) as role
    where relnamespace = 'ledger'::regnamespace and relkind = 'v' and relname like 'study:%'
      and to_regrole(role) is not null
  loop
    execute 'grant select on ' || thing;
  end loop;
end
$$;
