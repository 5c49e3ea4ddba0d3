-- Discard the contents to which no artifact refers. The function deletes a content that the ledger itself keeps. If a
-- store keeps the content, the function sets the column `discarded_at`. No artifact can refer to a discarded content. A
-- command or a manager deletes a discarded content from the store (ledger.discarded_contents, ledger.forget_content).
--   contents: the ids of the contents to check. If the argument is null, the function checks all contents. With the
--     argument null, the function also deletes the rows of unsaved artifacts whose attempts have no valid claim.
--     Without a valid claim, no worker can save the artifact any more.
-- One call discards at most 1000 contents, and deletes at most about 256 MB of contents in the ledger itself. Because
-- of the limits on the number and the size, a call ends within the time limit of a statement. A caller repeats the call
-- until the answer is 0. The answer is the number of discarded contents. The function never waits for a lock of another
-- session, and leaves locked contents to the next call. At the isolation levels repeatable read and serializable, the
-- function does nothing, because an old snapshot could hide an artifact.
create or replace function ledger.discard_contents(contents uuid[] default null) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  spare uuid[];
  deleted int;
  discarded int;
begin
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    return 0;
  end if;
  if contents is null then
    -- A valid claim can become invalid, but an invalid claim can never become valid again.
    with dead as (
      select known.study_id, known.trial, known.attempt, known.name
      from ledger.artifact as known
      join ledger.trial on trial.study_id = known.study_id and trial.number = known.trial
      join ledger.attempt
        on attempt.study_id = known.study_id and attempt.trial = known.trial and attempt.number = known.attempt
      where (known.uploading is not null or known.saved_at is null)
        and (trial.finished_at is not null or trial.claim is distinct from attempt.claim)
      for update of known skip locked),
    stopped as (
      update ledger.artifact as known
      set uploading = null
      from dead
      where (known.study_id, known.trial, known.attempt, known.name)
          = (dead.study_id, dead.trial, dead.attempt, dead.name) and known.saved_at is not null)
    delete from ledger.artifact as known
    using dead
    where (known.study_id, known.trial, known.attempt, known.name)
        = (dead.study_id, dead.trial, dead.attempt, dead.name) and known.saved_at is null;
  end if;
  spare := array(
    with unused as (
      select known.id, case when known.store is null then known.size else 0 end as bytes
      from ledger.artifact_content as known
      where (contents is null or known.id = any (contents)) and known.discarded_at is null
        and not exists (select from ledger.artifact where content = known.id)
        and not exists (select from ledger.artifact where uploading = known.id)
      limit 1000),
    summed as (
      select id, sum(bytes) over (order by id rows between unbounded preceding and 1 preceding) as earlier from unused)
    select known.id
    from ledger.artifact_content as known
    join summed on summed.id = known.id
    where contents is not null or summed.earlier is null or summed.earlier < 256 * 1024 * 1024
    for update of known skip locked);
  -- After the query above took its snapshot, another transaction may have referred to one of the contents. This
  -- transaction now holds the locks of the contents, so the statements below see each new reference.
  delete from ledger.artifact_content as known
  where known.id = any (spare) and known.store is null
    and not exists (select from ledger.artifact where content = known.id)
    and not exists (select from ledger.artifact where uploading = known.id);
  get diagnostics deleted = row_count;
  update ledger.artifact_content as known
  set discarded_at = ledger.clock()
  where known.id = any (spare) and known.store is not null
    and not exists (select from ledger.artifact where content = known.id)
    and not exists (select from ledger.artifact where uploading = known.id);
  get diagnostics discarded = row_count;
  return deleted + discarded;
end
$$;

comment on function ledger.discard_contents is
  'Delete, or mark as discarded, contents of artifacts to which no artifact refers. Null: look at all. Answers their '
  'number.';

-- Return the discarded contents that a command or a manager must still delete from the stores. The function returns the
-- contents in the order of their ids.
--   store: the URL of a store. If the argument is null, the function returns contents of all stores.
--   after: the id of a content. The function returns only contents with an id greater than `after`. If the argument
--     `after` is null, the function returns contents with any id.
-- One call returns at most 1000 contents.
create or replace function ledger.discarded_contents(store text default null, after uuid default null)
returns table (content uuid, sha256 text, size bigint, store_url text)
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
  select known.id, known.sha256, known.size, known.store
  from ledger.artifact_content as known
  where known.discarded_at is not null
    and (discarded_contents.store is null or known.store = discarded_contents.store)
    and (discarded_contents.after is null or known.id > discarded_contents.after)
  order by known.id
  limit 1000
$$;

comment on function ledger.discarded_contents is
  'Up to 1000 discarded contents that are still in their stores, ordered by id.';

-- Forget a discarded content, after a command has deleted the content from its store. Return whether the ledger had the
-- discarded content.
create or replace function ledger.forget_content(content uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
begin
  delete from ledger.artifact_content as known
  where known.id = forget_content.content and known.discarded_at is not null;
  return found;
end
$$;

comment on function ledger.forget_content is
  'Forget a discarded content that is no longer in its store. Answers whether the ledger had the content.';
