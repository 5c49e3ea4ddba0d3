-- Triggers that refuse each row with a value that a client of the database could not read. The triggers check each row
-- that a role, a function or an import writes. If a trigger refuses a row, the SQL statement that writes the row fails.
-- Because of the triggers in this file, no row of a table can make a view, a listing or an export fail. The triggers
-- raise data exceptions (class 22). A client that receives an error of the class 22 knows that the same statement will
-- never succeed.
--
-- The triggers on ledger.trial and ledger.manager do not check updates of columns that only the functions of the ledger
-- compute, such as `lease_until`. A heartbeat changes only the columns `state` and `lease_until`, so a heartbeat fires
-- no trigger of this file.
create or replace function ledger.refuse_unreadable_study() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    -- On an update, the trigger checks the spec only if the update changes the spec. Therefore users and managers can
    -- pause, cancel and finish a study even if an earlier version of the ledger wrote an invalid spec.
    case when tg_op = 'INSERT' or new.spec is distinct from old.spec
         then coalesce(ledger.json_fault('the spec', new.spec), ledger.spec_fault(new.spec)) end,
    ledger.text_fault('spec_hash', new.spec_hash),
    ledger.text_fault('the reason', new.reason, ledger.longest_error()),
    case when jsonb_typeof(new.versions) <> 'object' then 'the versions: they are not an object' end,
    ledger.json_fault('the versions', new.versions),
    ledger.count_fault('patience', new.patience),
    case when new.changed_batch_size > ledger.largest_batch()
         then format('batch_size: %s is too large, at most %s trials are allowed', new.changed_batch_size,
                     ledger.largest_batch()) end,
    ledger.seconds_fault('timeout_seconds', new.timeout_seconds),
    ledger.seconds_fault('managed_seconds', new.managed_seconds),
    ledger.moment_fault('stopping_at', new.stopping_at),
    ledger.moment_fault('created_at', new.created_at),
    ledger.moment_fault('archived_at', new.archived_at),
    ledger.moment_fault('finished_at', new.finished_at));
begin
  if fault is not null then
    raise exception 'study %, %', left(new.name, 100), fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_study is
  'Trigger: refuse a study that a reader could not read.';

create or replace function ledger.refuse_unreadable_iteration() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(
      new.number, new.first_trial, new.round, new.size, new.batch_size, new.told)),
    ledger.count_fault('its totals', greatest(
      new.total_proposed, new.total_complete, new.total_pruned, new.total_failed, new.total_cancelled,
      new.last_complete)),
    case when greatest(new.total_attempts, new.total_failures, new.total_crashes, new.total_lost)
              > ledger.largest_count()::bigint * ledger.largest_count()
         then 'its totals: a sum of counts is too large' end,
    ledger.seconds_fault('ask_seconds', new.ask_seconds),
    ledger.seconds_fault('tell_seconds', new.tell_seconds),
    ledger.loss_fault('mean_loss', new.mean_loss),
    ledger.loss_fault('best_loss', new.best_loss),
    case when jsonb_typeof(new.surrogate) <> 'object' then 'the surrogate: it is not an object' end,
    -- The function checks a JSON document only if the document has changed, because the frequent updates by
    -- ledger.mark_told change no document.
    case when tg_op = 'INSERT' or new.surrogate is distinct from old.surrogate
         then ledger.json_fault('the surrogate', new.surrogate) end,
    case when jsonb_typeof(new.environment) <> 'object' then 'the environment: it is not an object' end,
    case when tg_op = 'INSERT' or new.environment is distinct from old.environment
         then ledger.json_fault('the environment', new.environment) end,
    case when array_ndims(new.seen) > 1 or array_position(new.seen, null) is not null
         then 'seen: it is not a list of trials' end,
    case when array_ndims(new.seen_rungs) > 1 then 'seen_rungs: it is not a list of rungs' end,
    (select ledger.step_fault('seen_rungs', rung)
     from unnest(new.seen_rungs) as rung
     where ledger.step_fault('seen_rungs', rung) is not null
     limit 1),
    case when array_ndims(new.improvements) > 1 or array_position(new.improvements, null) is not null
         then 'improvements: it is not a list of trials' end,
    ledger.moment_fault('asked_at', new.asked_at),
    ledger.moment_fault('told_at', new.told_at));
begin
  if fault is not null then
    raise exception 'iteration %, %', new.number, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_iteration is
  'Trigger: refuse an iteration that a reader could not read.';

-- PL/pgSQL prepares each expression again in each transaction. Therefore the checks of columns that most statements
-- leave null or unchanged are in branches. No function changes the numbers of a trial. The check constraints of the
-- table refuse a trial with a loss and a pruned loss.
create or replace function ledger.refuse_unreadable_trial() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its counts', greatest(new.attempts, new.failures, new.crashes, new.lost)),
    ledger.text_fault('the name of the worker', new.worker),
    ledger.text_fault('the error', new.error, ledger.longest_error()),
    ledger.moment_fault('available_at', new.available_at),
    ledger.moment_fault('claimed_at', new.claimed_at),
    ledger.moment_fault('lease_until', new.lease_until),
    ledger.moment_fault('deadline_at', new.deadline_at),
    ledger.moment_fault('finished_at', new.finished_at));
begin
  if tg_op = 'INSERT' or new.params is distinct from old.params then
    fault := coalesce(
      fault,
      ledger.count_fault('its numbers', greatest(new.number, new.iteration, new.round)),
      ledger.json_fault('the parameters', new.params));
  end if;
  if new.loss is not null or new.metrics is not null then
    fault := coalesce(
      fault,
      case when jsonb_typeof(new.metrics) <> 'object' then 'the metrics: they are not an object' end,
      ledger.json_fault('the metrics', new.metrics),
      ledger.loss_fault('the loss', new.loss));
    -- If the text of the metrics has at most ledger.longest_name() bytes, no name of a metric in the text is too long.
    if fault is null and octet_length(new.metrics::text) > ledger.longest_name() then
      select ledger.text_fault('the name of a metric', name) into fault
      from jsonb_object_keys(new.metrics) as name
      where length(name) > ledger.longest_name()
      limit 1;
    end if;
  elsif new.pruned_step is not null or new.pruned_loss is not null then
    fault := coalesce(
      fault,
      ledger.step_fault('pruned_step', new.pruned_step),
      ledger.loss_fault('pruned_loss', new.pruned_loss));
  end if;
  if fault is not null then
    raise exception 'trial %, %', new.number, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_trial is
  'Trigger: refuse a trial that a reader could not read.';

create or replace function ledger.refuse_unreadable_attempt() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.seconds_fault('seconds', new.seconds),
    ledger.loss_fault('the loss', new.loss),
    ledger.text_fault('the name of the worker', new.worker),
    ledger.text_fault('the error', new.error, ledger.longest_error()),
    ledger.text_fault('the output', new.output, ledger.longest_output()),
    ledger.moment_fault('claimed_at', new.claimed_at),
    ledger.moment_fault('ended_at', new.ended_at));
begin
  if fault is not null then
    raise exception 'attempt % of trial %, %', new.number, new.trial, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_attempt is
  'Trigger: refuse an attempt that a reader could not read.';

-- When a cancellation takes effect, the reason of the cancellation becomes the error of the trial. Therefore the reason
-- of a cancellation must not be longer than the longest allowed error of a trial.
create or replace function ledger.refuse_unreadable_cancellation() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.text_fault('the reason', new.reason, ledger.longest_error()),
    ledger.moment_fault('asked_at', new.asked_at));
begin
  if fault is not null then
    raise exception 'the cancellation of trial %, %', new.trial, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_cancellation is
  'Trigger: refuse a cancellation that a reader could not read.';

create or replace function ledger.refuse_unreadable_refusal() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.text_fault('the reason', new.reason, ledger.longest_error()),
    ledger.moment_fault('refused_at', new.refused_at));
begin
  if fault is not null then
    raise exception 'the refusal by worker %, %', left(new.worker, 50), fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_refusal is
  'Trigger: refuse a refusal of a study that a reader could not read.';

create or replace function ledger.refuse_unreadable_worker() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.text_fault('the name', new.name),
    ledger.text_fault('the name of the host', new.host),
    ledger.json_fault('the versions', new.versions, ledger.largest_versions()),
    case when jsonb_typeof(new.versions) <> 'object'
              or jsonb_path_exists(new.versions, 'strict $.* ? (@.type() != "string")')
         then 'the versions: they are not an object of texts' end,
    ledger.moment_fault('started_at', new.started_at),
    ledger.moment_fault('last_seen_at', new.last_seen_at),
    ledger.moment_fault('stopped_at', new.stopped_at));
begin
  if fault is not null then
    raise exception 'worker %, %', left(new.name, 50), fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_worker is
  'Trigger: refuse a worker that a reader could not read.';

create or replace function ledger.refuse_unreadable_manager() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.text_fault('its name', new.name),
    ledger.seconds_fault('the lease', extract(epoch from new.lease)::float8),
    ledger.moment_fault('claimed_at', new.claimed_at),
    ledger.moment_fault('lease_until', new.lease_until));
begin
  if fault is not null then
    raise exception 'the manager of study %, %', new.study_id, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_manager is
  'Trigger: refuse a manager that a reader could not read.';

create or replace function ledger.refuse_unreadable_dataset() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.text_fault('the name of the file', new.name),
    ledger.moment_fault('created_at', new.created_at));
begin
  if fault is not null then
    raise exception 'dataset %, %', new.sha256, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_dataset is
  'Trigger: refuse a dataset that a reader could not read.';

create or replace function ledger.refuse_unreadable_code_version() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(new.number, new.first_trial)),
    case when jsonb_typeof(new.parts) <> 'array' or jsonb_path_exists(new.parts, 'strict $[*] ? (@.type() != "object")')
         then 'the parts: they are not a list of objects' end,
    ledger.json_fault('the parts', new.parts),
    case when jsonb_typeof(new.sources) <> 'object'
              or jsonb_path_exists(new.sources, 'strict $.* ? (@.type() != "string")')
         then 'the sources: they are not an object of texts' end,
    ledger.json_fault('the sources', new.sources),
    case when jsonb_typeof(new.versions) <> 'object'
              or jsonb_path_exists(new.versions, 'strict $.* ? (@.type() != "string")')
         then 'the versions: they are not an object of texts' end,
    ledger.json_fault('the versions', new.versions, ledger.largest_versions()),
    ledger.text_fault('the commit', new.git_commit),
    ledger.moment_fault('recorded_at', new.recorded_at));
begin
  if fault is null and exists (
    select from jsonb_array_elements(new.parts) as part
    where not part ?& array['kind', 'name']
      or part - array['kind', 'name', 'code', 'value', 'shown', 'unwatched'] <> '{}'
      or jsonb_path_exists(part, 'strict $.* ? (@.type() != "string")')
      or exists (select from jsonb_each_text(part) as field where length(field.value) > ledger.longest_name())) then
    fault := format('the parts: a part is not an object of texts of at most %s characters, with a kind and a name',
                    ledger.longest_name());
  end if;
  if fault is null and new.sha256 is distinct from ledger.code_digest(new.parts) then
    fault := 'the sha256: it is not the SHA-256 of the parts';
  end if;
  if fault is null and exists (
    select from jsonb_object_keys(new.sources) as name where length(name) > ledger.longest_name()) then
    fault := format('the sources: the name of a file has more than %s characters', ledger.longest_name());
  end if;
  if fault is not null then
    raise exception 'code version % of study %, %', new.number, new.study_id, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_code_version is
  'Trigger: refuse a version of a code that a reader could not read.';

create or replace function ledger.refuse_unreadable_source() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := ledger.text_fault('the text', new.text, ledger.longest_source());
begin
  if fault is not null then
    raise exception 'source %, %', left(new.sha256, 64), fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_source is
  'Trigger: refuse a source text that a reader could not read.';

-- The table `study_annotation` and the table `trial_annotation` use the same trigger function. Only the table
-- `trial_annotation` has the column `trial`.
create or replace function ledger.refuse_unreadable_annotation() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.tags_fault(new.tags),
    ledger.text_fault('the note', new.note, ledger.longest_note()),
    ledger.attributes_fault(new.attributes),
    ledger.text_fault('annotated_by', new.annotated_by),
    ledger.moment_fault('annotated_at', new.annotated_at));
begin
  if fault is not null then
    raise exception 'the annotation of %, %', case
      when tg_table_name = 'trial_annotation' then format('trial %s', to_jsonb(new) ->> 'trial')
      else format('study %s', (select name from ledger.study where id = new.study_id)) end, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_annotation is
  'Trigger: refuse an annotation that a reader could not read.';

create or replace function ledger.refuse_unreadable_report() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(new.trial, new.attempt)),
    ledger.step_fault('the step', new.step),
    ledger.step_fault('after_step', new.after_step),
    ledger.loss_fault('the loss', new.loss),
    case when jsonb_typeof(new.metrics) <> 'object' then 'the metrics: they are not an object' end,
    ledger.json_fault('the metrics', new.metrics, ledger.largest_report()),
    ledger.moment_fault('reported_at', new.reported_at));
begin
  if fault is null and octet_length(new.metrics::text) > ledger.longest_name() then
    select ledger.text_fault('the name of a metric', name) into fault
    from jsonb_object_keys(new.metrics) as name
    where length(name) > ledger.longest_name()
    limit 1;
  end if;
  if fault is not null then
    raise exception 'the report of trial % at step %, %', new.trial, new.step, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_report is
  'Trigger: refuse a report that a reader could not read.';

create or replace function ledger.refuse_unreadable_cutoff() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(new.iteration, new.compared, new.trial, new.group_number)),
    ledger.step_fault('the rung', new.rung),
    ledger.loss_fault('the loss', new.loss));
begin
  if fault is not null then
    raise exception 'the cutoff of iteration % at rung %, %', new.iteration, new.rung, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_cutoff is
  'Trigger: refuse a cutoff that a reader could not read.';

create or replace function ledger.refuse_unreadable_verdict() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(new.trial, new.attempt, new.compared)),
    ledger.step_fault('the rung', new.rung),
    ledger.step_fault('the step', new.step),
    ledger.loss_fault('the loss', new.loss),
    ledger.loss_fault('the cutoff', new.cutoff),
    ledger.moment_fault('decided_at', new.decided_at));
begin
  if fault is not null then
    raise exception 'the verdict on trial % at rung %, %', new.trial, new.rung, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_verdict is
  'Trigger: refuse a verdict that a reader could not read.';

create or replace function ledger.refuse_unreadable_promotion() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.count_fault('its numbers', greatest(new.trial, new.arrivals)),
    ledger.step_fault('the rung', new.rung),
    ledger.moment_fault('promoted_at', new.promoted_at));
begin
  if fault is not null then
    raise exception 'the promotion of trial % at rung %, %', new.trial, new.rung, fault
      using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_promotion is
  'Trigger: refuse a promotion that a reader could not read.';

create or replace function ledger.refuse_unreadable_artifact() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.artifact_fault(new.name, coalesce(new.sha256, repeat('0', 64)), coalesce(new.size, 0), new.store),
    ledger.moment_fault('saved_at', new.saved_at),
    ledger.moment_fault('removed_at', new.removed_at));
begin
  if fault is not null then
    raise exception 'artifact %, %', left(new.name, 100), fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_artifact is
  'Trigger: refuse an artifact that a reader could not read.';

create or replace function ledger.refuse_unreadable_content() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  fault text := coalesce(
    ledger.artifact_fault('content', new.sha256, new.size, new.store),
    ledger.moment_fault('begun_at', new.begun_at),
    ledger.moment_fault('stored_at', new.stored_at),
    ledger.moment_fault('discarded_at', new.discarded_at));
begin
  if fault is not null then
    raise exception 'content %, %', new.id, fault using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function ledger.refuse_unreadable_content is
  'Trigger: refuse a content of artifacts that a reader could not read.';

create or replace trigger studies_are_readable before insert or update on ledger.study
  for each row execute function ledger.refuse_unreadable_study();
create or replace trigger iterations_are_readable before insert or update on ledger.iteration
  for each row execute function ledger.refuse_unreadable_iteration();
create or replace trigger trials_are_readable
  before insert or update of params, metrics, loss, pruned_step, pruned_loss, worker, error, available_at, claimed_at,
    deadline_at, finished_at
  on ledger.trial for each row execute function ledger.refuse_unreadable_trial();
create or replace trigger attempts_are_readable before insert or update on ledger.attempt
  for each row execute function ledger.refuse_unreadable_attempt();
create or replace trigger cancellations_are_readable before insert or update on ledger.cancellation
  for each row execute function ledger.refuse_unreadable_cancellation();
create or replace trigger refusals_are_readable before insert or update on ledger.refusal
  for each row execute function ledger.refuse_unreadable_refusal();
create or replace trigger workers_are_readable before insert or update on ledger.worker
  for each row execute function ledger.refuse_unreadable_worker();
create or replace trigger managers_are_readable before insert or update of name, lease, claimed_at on ledger.manager
  for each row execute function ledger.refuse_unreadable_manager();
create or replace trigger datasets_are_readable before insert on ledger.dataset
  for each row execute function ledger.refuse_unreadable_dataset();
create or replace trigger code_versions_are_readable before insert on ledger.code_version
  for each row execute function ledger.refuse_unreadable_code_version();
create or replace trigger sources_are_readable before insert on ledger.source
  for each row execute function ledger.refuse_unreadable_source();
create or replace trigger reports_are_readable before insert on ledger.report
  for each row execute function ledger.refuse_unreadable_report();
create or replace trigger cutoffs_are_readable before insert on ledger.cutoff
  for each row execute function ledger.refuse_unreadable_cutoff();
create or replace trigger verdicts_are_readable before insert on ledger.verdict
  for each row execute function ledger.refuse_unreadable_verdict();
create or replace trigger promotions_are_readable before insert on ledger.promotion
  for each row execute function ledger.refuse_unreadable_promotion();
create or replace trigger annotations_are_readable before insert or update on ledger.study_annotation
  for each row execute function ledger.refuse_unreadable_annotation();
create or replace trigger annotations_are_readable before insert or update on ledger.trial_annotation
  for each row execute function ledger.refuse_unreadable_annotation();
create or replace trigger artifacts_are_readable before insert or update on ledger.artifact
  for each row execute function ledger.refuse_unreadable_artifact();
create or replace trigger contents_are_readable before insert or update on ledger.artifact_content
  for each row execute function ledger.refuse_unreadable_content();

alter table ledger.study enable always trigger studies_are_readable;
alter table ledger.iteration enable always trigger iterations_are_readable;
alter table ledger.trial enable always trigger trials_are_readable;
alter table ledger.attempt enable always trigger attempts_are_readable;
alter table ledger.cancellation enable always trigger cancellations_are_readable;
alter table ledger.refusal enable always trigger refusals_are_readable;
alter table ledger.worker enable always trigger workers_are_readable;
alter table ledger.manager enable always trigger managers_are_readable;
alter table ledger.dataset enable always trigger datasets_are_readable;
alter table ledger.code_version enable always trigger code_versions_are_readable;
alter table ledger.source enable always trigger sources_are_readable;
alter table ledger.report enable always trigger reports_are_readable;
alter table ledger.cutoff enable always trigger cutoffs_are_readable;
alter table ledger.verdict enable always trigger verdicts_are_readable;
alter table ledger.promotion enable always trigger promotions_are_readable;
alter table ledger.study_annotation enable always trigger annotations_are_readable;
alter table ledger.trial_annotation enable always trigger annotations_are_readable;
alter table ledger.artifact enable always trigger artifacts_are_readable;
alter table ledger.artifact_content enable always trigger contents_are_readable;
