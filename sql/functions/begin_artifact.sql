-- Begin to save an artifact of the attempt that holds a claim. Within an attempt, the name of an artifact is unique. If
-- a worker saves another artifact with the same name, the new artifact replaces the old artifact. Readers see the
-- artifact after the call of ledger.save_artifact. Answers:
--   wanted: the worker must now write the content. If the argument `store` is null, the worker calls
--     ledger.add_artifact_piece for each piece. If the argument `store` is not null, the worker writes the content into
--     the store with this URL.
--   stored: the ledger itself already keeps a complete content with the same SHA-256 and size, so the worker writes
--     nothing. The function never reuses a content in a store, because the ledger cannot check that the store has the
--     content.
--   stale, unknown: the claim is not valid. The answers `stale` and `unknown` have the same meaning as in
--     ledger.complete.
-- If the answer is "wanted" or "stored", the column `content` is the id of the content.
-- A checkpoint is an artifact with the name .checkpoint-STEP. Within an attempt, the step of a new checkpoint must not
-- be lower than the step of a saved checkpoint. A trial has at most one checkpoint that a worker has begun but not
-- saved. The function deletes all other unsaved checkpoints of the trial. The function skips a content that another
-- session has locked. If another worker is still writing a content, the function does not reuse this content either.
-- Therefore no worker has to wait for another worker that leaves a transaction open.
create or replace function ledger.begin_artifact(
  study_id int, trial int, claim uuid, name text, sha256 text, size bigint, store text default null)
returns table (answer text, content uuid)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  held int := ledger.held_attempt(begin_artifact.study_id, begin_artifact.trial, begin_artifact.claim);
  fault text := ledger.artifact_fault(
    begin_artifact.name, begin_artifact.sha256, begin_artifact.size, begin_artifact.store);
  wanted bigint;
  reached bigint;
  chosen uuid;
  earlier uuid;
  is_stored boolean := false;
  unneeded uuid[];
begin
  if held is null then
    return query select
      ledger.invalid_claim(begin_artifact.study_id, begin_artifact.trial, begin_artifact.claim), null::uuid;
    return;
  end if;
  if fault is null and begin_artifact.name like '.%' then
    wanted := substr(begin_artifact.name, 13)::bigint;
    select max(known.step) into reached
    from ledger.artifact as known
    where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial and known.attempt = held
      and known.step is not null and known.saved_at is not null;
    if reached > wanted then
      fault := format('the attempt already has a checkpoint of step %s; keep a checkpoint of a later step', reached);
    end if;
  elsif fault is null and not exists (
       select from ledger.artifact as known
       where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial
         and known.attempt = held and known.name = begin_artifact.name)
     and (select count(*) from ledger.artifact as known
          where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial
            and known.attempt = held and known.step is null) >= ledger.most_artifacts() then
    fault := format('the attempt already has %s artifacts, which is the maximum; save several files as one archive',
                    ledger.most_artifacts());
  end if;
  if fault is not null then
    raise exception 'artifact %, %', left(begin_artifact.name, 100), fault using errcode = 'invalid_parameter_value';
  end if;

  insert into ledger.artifact (study_id, trial, attempt, name)
  values (begin_artifact.study_id, begin_artifact.trial, held, begin_artifact.name)
  on conflict do nothing;
  if wanted is not null then
    with unsaved as (
      select known.attempt, known.name
      from ledger.artifact as known
      where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial and known.step is not null
        and known.saved_at is null and (known.attempt, known.name) <> (held, begin_artifact.name)
      for update skip locked),
    deleted as (
      delete from ledger.artifact as known
      using unsaved
      where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial
        and (known.attempt, known.name) = (unsaved.attempt, unsaved.name)
      returning known.uploading)
    select array_agg(uploading) into unneeded from deleted;
  end if;
  -- If the worker did not receive the answer to an earlier call, the worker continues with the same content. If a store
  -- keeps the content, the worker does not continue with the earlier content, but uses a new content, because an
  -- earlier call of the objective may still be writing the earlier content.
  select artifact.uploading into earlier
  from ledger.artifact
  where artifact.study_id = begin_artifact.study_id and artifact.trial = begin_artifact.trial
    and artifact.attempt = held and artifact.name = begin_artifact.name;
  select known.id into chosen
  from ledger.artifact_content as known
  where known.id = earlier and known.sha256 = begin_artifact.sha256 and known.size = begin_artifact.size
    and known.store is null and begin_artifact.store is null and known.stored_at is null;
  if chosen is null and begin_artifact.store is null then
    select known.id into chosen
    from ledger.artifact_content as known
    where known.sha256 = begin_artifact.sha256 and known.size = begin_artifact.size and known.store is null
      and known.stored_at is not null and known.discarded_at is null
    order by known.stored_at
    limit 1
    for key share skip locked;
    is_stored := found;
  end if;
  if chosen is null then
    insert into ledger.artifact_content (id, store, sha256, size, begun_at)
    values (gen_random_uuid(), begin_artifact.store, begin_artifact.sha256, begin_artifact.size, ledger.clock())
    returning id into chosen;
  end if;
  update ledger.artifact as known
  set uploading = chosen
  where known.study_id = begin_artifact.study_id and known.trial = begin_artifact.trial
    and known.attempt = held and known.name = begin_artifact.name and known.uploading is distinct from chosen;
  if earlier <> chosen then
    unneeded := array_append(unneeded, earlier);
  end if;
  if unneeded is not null then
    perform ledger.discard_contents(unneeded);
  end if;
  return query select case when is_stored then 'stored' else 'wanted' end, chosen;
end
$$;

comment on function ledger.begin_artifact is
  'Begin to save an artifact of an attempt. Answers wanted or stored with the id of the content, or stale or unknown.';
