-- Insert the trials of one round of an iteration, and notify the workers. For the first round, also insert the
-- iteration.
--   number, round: the number of the iteration, and the number of the round within the iteration. The first iteration
--     and the first round have the number 0.
--   known: the number of trials that the study had when the manager computed the points.
--   points: a JSON array with at least one object. Each object of the array contains a value for each parameter.
--   surrogate: a description of the surrogate that proposed the points, or null for random points.
--   environment: the package versions and the BLAS kernels of the manager.
--   ask_seconds, tell_seconds: the seconds that the manager needed to choose the points (ask_seconds) and to fit the
--     surrogate (tell_seconds).
--   seen: in steady mode, the numbers of the trials that have ended or paused. The list contains a trial if the manager
--     noticed the end or the pause of the trial after the previous iteration.
--   seen_rungs: in steady mode with the rule `promotion`, the rung at which each trial of `seen` waited. The element is
--     null if the trial had ended.
--   batch_size: the batch size from which the manager computed the number of points. If the argument `batch_size` is
--     null, the function does not check whether the batch size has changed.
-- Answers:
--   proposed: the function inserted the trials. If the answer is `lost`, `ended` or `changed`, the function inserted
--     nothing.
--   lost: the manager does not hold the claim of the study.
--   ended: the study has ended.
--   changed: the number of trials or the batch size has changed since the manager computed the points, or the round
--     already exists.
create or replace function ledger.propose(
  study_id int, claim uuid, number int, round int, known int, points jsonb, surrogate jsonb, environment jsonb,
  ask_seconds float8, tell_seconds float8, seen int[], batch_size int default null,
  seen_rungs bigint[] default null)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  moment timestamptz;
  parent ledger.study := ledger.held_study(propose.study_id, propose.claim);
  added int := jsonb_array_length(propose.points);
begin
  if parent.id is null then
    return 'lost';
  end if;
  if parent.state not in ('running', 'paused') then
    return 'ended';
  end if;
  if ledger.next_trial(parent.id) <> propose.known or parent.batch_size <> propose.batch_size then
    return 'changed';
  end if;
  moment := ledger.clock();
  if propose.round = 0 then
    insert into ledger.iteration
      (study_id, number, first_trial, round, size, batch_size, asked_at, ask_seconds, tell_seconds, surrogate,
       environment, seen, seen_rungs)
    values
      (parent.id, propose.number, propose.known, 0, added, parent.batch_size, moment, propose.ask_seconds,
       propose.tell_seconds,
       propose.surrogate, propose.environment, propose.seen, propose.seen_rungs)
    on conflict do nothing;
  else
    update ledger.iteration
    set round = propose.round, size = iteration.size + added, ask_seconds = propose.ask_seconds,
        tell_seconds = propose.tell_seconds, surrogate = propose.surrogate, environment = propose.environment
    where study_id = parent.id and number = propose.number and round = propose.round - 1 and told_at is null
      -- The trials of an iteration have consecutive numbers.
      and first_trial + iteration.size = propose.known;
  end if;
  if not found then
    return 'changed';
  end if;
  insert into ledger.trial (study_id, number, iteration, round, source, params, available_at)
  select parent.id, propose.known + point.place - 1, propose.number, propose.round, 'proposed', point.params, moment
  from jsonb_array_elements(propose.points) with ordinality as point (params, place);
  if propose.round = 0 then
    perform ledger.set_cutoffs(parent.id, propose.number, propose.known);
  end if;
  perform ledger.notify('ledger');
  return 'proposed';
end
$$;

comment on function ledger.propose is
  'Insert the trials of one round of an iteration for the manager that holds the study. Answers proposed, lost, ended '
  'or changed.';
