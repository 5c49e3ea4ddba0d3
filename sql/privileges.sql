-- The privileges of each role in the schema `ledger`. Every run of `ledger db upgrade` executes this file last, as the
-- owner of the schema. After an upgrade, each role has exactly the privileges in this file. The file roles.sql creates
-- the roles. If the roles do not exist, only the owner of the schema can use the ledger.
revoke all on schema ledger from public;
revoke all on all tables in schema ledger from public;
revoke all on all sequences in schema ledger from public;
revoke all on all routines in schema ledger from public;

do $$
declare
  thing text;
  reading text;
begin
  -- The role ledger_worker can only call the functions that a worker needs, such as ledger.claim. A worker can change a
  -- trial only with the claim of the trial. Only the worker that holds a trial knows the claim of the trial.
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
      ledger.report,
      ledger.prune,
      ledger.refuse,
      ledger.accept,
      ledger.announce,
      ledger.dataset,
      ledger.ended,
      ledger.objective_code,
      ledger.report_code,
      ledger.begin_artifact,
      ledger.add_artifact_piece,
      ledger.save_artifact,
      ledger.last_checkpoints,
      ledger.checkpoint_bytes,
      ledger.revision
    to ledger_worker;
  end if;

  -- A reader can read the views, and can call the functions that the views need. No view shows a claim. A reader can
  -- also read the contents of datasets, because an export contains the datasets.
  if to_regrole('ledger_reader') is not null then
    revoke all on all tables in schema ledger from ledger_reader;
    revoke all on all routines in schema ledger from ledger_reader;
    grant usage on schema ledger to ledger_reader;
    grant execute on function
      ledger.announced_recently, ledger.artifact_bytes, ledger.changed_reports, ledger.clock, ledger.data_files,
      ledger.dataset, ledger.difference, ledger.lease_ended, ledger.number, ledger.revision, ledger.session_ended,
      ledger.trial_value, ledger.value
    to ledger_reader;
  end if;

  -- The role ledger_manager can read all objects that the role ledger_reader can read. A manager changes the ledger
  -- only by calling functions, and cannot write to a table directly.
  if to_regrole('ledger_manager') is not null then
    revoke all on all tables in schema ledger from ledger_manager;
    revoke all on all routines in schema ledger from ledger_manager;
    grant usage on schema ledger to ledger_manager;
    grant execute on function
      ledger.annotate_study,
      ledger.annotate_trial,
      ledger.announced_recently,
      ledger.artifact_bytes,
      ledger.cancel,
      ledger.cancel_trials,
      ledger.changed_reports,
      ledger.claim_study,
      ledger.clock,
      ledger.create_study,
      ledger.data_files,
      ledger.dataset,
      ledger.difference,
      ledger.discard_contents,
      ledger.discarded_contents,
      ledger.end_cancelled,
      ledger.enqueue,
      ledger.extend,
      ledger.finish,
      ledger.forget_content,
      ledger.hold_dataset,
      ledger.import_trials,
      ledger.keep_dataset,
      ledger.lease_ended,
      ledger.leave_study,
      ledger.number,
      ledger.pause,
      ledger.promote,
      ledger.promote_waiting,
      ledger.propose,
      ledger.prune_paused,
      ledger.reap,
      ledger.record_code,
      ledger.remove_artifact,
      ledger.remove_beaten_artifacts,
      ledger.remove_checkpoints,
      ledger.resume,
      ledger.retry,
      ledger.revision,
      ledger.session_ended,
      ledger.set_batch_size,
      ledger.set_criteria,
      ledger.stop,
      ledger.tell,
      ledger.trial_value,
      ledger.value
    to ledger_manager;
  end if;

  -- Readers and managers read the views.
  foreach reading in array array['ledger_reader', 'ledger_manager']
  loop
    continue when to_regrole(reading) is null;
    execute 'grant select on '
      'ledger.annotations, '
      'ledger.artifacts, '
      'ledger.attempts, '
      'ledger.best_trials, '
      'ledger.checkpoints, '
      'ledger.code_versions, '
      'ledger.convergence, '
      'ledger.counts, '
      'ledger.cutoffs, '
      'ledger.datasets, '
      'ledger.improvements, '
      'ledger.iteration_regret, '
      'ledger.iterations, '
      'ledger.managers, '
      'ledger.outcomes, '
      'ledger.parameters, '
      'ledger.progress, '
      'ledger.promotions, '
      'ledger.refusals, '
      'ledger.regret, '
      'ledger.reports, '
      'ledger.sources, '
      'ledger.studies, '
      'ledger.trial_times, '
      'ledger.trials, '
      'ledger.utilisation, '
      'ledger.verdicts, '
      'ledger.workers '
      'to ' || reading;
  end loop;

  -- Readers and managers also read the views that `ledger study view` creates. The command `ledger study view` creates
  -- a view with one column for each parameter and each metric of a study.
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
