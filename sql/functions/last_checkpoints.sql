-- Return the last checkpoints of the trial that a claim holds. The last checkpoint comes first. The worker restores the
-- first checkpoint whose content is not damaged. The checkpoints of the last attempt come first, because an attempt may
-- have started the training again. If the claim is not valid, or the trial has no checkpoint, the answer has no rows.
--   reported_step, reported_loss: the report of the checkpoint's attempt with the highest step at or below the step of
--     the checkpoint, without the steps that the attempt reported after a higher step, or null. If the trial has
--     reached a rung with this report, and the verdict at the rung is unknown or stops the trial, the worker reports
--     this step again for the present attempt. Otherwise, a trial that reached a rung with its last report would never
--     meet the verdict.
create or replace function ledger.last_checkpoints(study_id int, trial int, claim uuid)
returns table (
  attempt int, step bigint, content uuid, sha256 text, size bigint, store text, reported_step bigint,
  reported_loss float8)
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
  select kept.attempt, kept.step, kept.content, kept.sha256, kept.size, kept.store, last.step, last.loss
  from ledger.trial as held
  join ledger.artifact as kept on kept.study_id = held.study_id and kept.trial = held.number
  left join lateral (
    select report.step, report.loss
    from ledger.report
    where report.study_id = kept.study_id and report.trial = kept.trial and report.attempt = kept.attempt
      and report.step <= kept.step and report.after_step is null
    order by report.step desc
    limit 1) as last on true
  where held.study_id = last_checkpoints.study_id and held.number = last_checkpoints.trial
    and held.claim = last_checkpoints.claim and held.finished_at is null
    and kept.step is not null and kept.content is not null
  order by kept.attempt desc, kept.step desc
  limit ledger.kept_checkpoints()
$$;

comment on function ledger.last_checkpoints is
  'The last checkpoints of the trial that a claim holds, the last one first.';

-- Return a piece of a checkpoint, if the ledger itself keeps the content. The claim must be the valid claim of the
-- checkpoint's trial. If the claim is not valid, or if the piece does not exist, the answer is null. A worker cannot
-- read any other content.
create or replace function ledger.checkpoint_bytes(study_id int, trial int, claim uuid, content uuid, number int)
returns bytea
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
  select piece.bytes
  from ledger.trial as held
  join ledger.artifact as kept on kept.study_id = held.study_id and kept.trial = held.number
  join ledger.artifact_piece as piece on piece.content = kept.content
  where held.study_id = checkpoint_bytes.study_id and held.number = checkpoint_bytes.trial
    and held.claim = checkpoint_bytes.claim and held.finished_at is null
    and kept.step is not null and kept.content = checkpoint_bytes.content
    and piece.number = checkpoint_bytes.number
  limit 1
$$;

comment on function ledger.checkpoint_bytes is
  'A piece of a checkpoint of the trial that a claim holds, from piece 0. Null after the last piece.';
