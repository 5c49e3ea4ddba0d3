-- The parameters and losses of all trials, with one row for each trial and parameter.
create or replace view ledger.parameters as
select
  study.name as study,
  trial.number as trial,
  trial.iteration,
  trial.state,
  trial.loss,
  chosen.parameter,
  chosen.kind,
  chosen.number,
  chosen.value #>> '{}' as text,
  case
    -- The column position is null for a categorical parameter, because a categorical parameter has no lowest and no
    -- highest value.
    when (chosen.number between chosen.low and chosen.high) is not true then null
    when chosen.prior = 'log-uniform'
    then (ln(chosen.number) - ln(chosen.low)) / nullif(ln(chosen.high) - ln(chosen.low), 0)
    -- The view computes with the type numeric, because PostgreSQL raises an error if an operation with doubles
    -- underflows.
    else round((chosen.value::numeric - chosen.lowest::numeric)
      / nullif(chosen.highest::numeric - chosen.lowest::numeric, 0), 17)::float8
  end as position
from ledger.trial
join ledger.study on study.id = trial.study_id
cross join lateral (
  select
    dimension ->> 'name' as parameter,
    dimension ->> 'type' as kind,
    dimension ->> 'prior' as prior,
    ledger.number(dimension -> 'low') as low,
    ledger.number(dimension -> 'high') as high,
    dimension -> 'low' as lowest,
    dimension -> 'high' as highest,
    trial.params -> (dimension ->> 'name') as value,
    ledger.number(trial.params -> (dimension ->> 'name')) as number
  from jsonb_array_elements(study.spec -> 'space') as dimension
  -- Without the clause "offset 0", the planner could join the studies with their dimensions before the planner joins
  -- the trials.
  offset 0) as chosen;

comment on view ledger.parameters is
  'The parameters and losses of all trials; one row for each trial and parameter of its study''s space.';
comment on column ledger.parameters.study is 'Name of the study.';
comment on column ledger.parameters.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.parameters.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.parameters.state is 'State of the trial: pending, running, complete, failed or cancelled.';
comment on column ledger.parameters.loss is 'Loss of the trial, finite; null unless the trial is complete.';
comment on column ledger.parameters.parameter is 'Name of the parameter.';
comment on column ledger.parameters.kind is 'Kind of the parameter: real, integer or categorical.';
comment on column ledger.parameters.number is
  'The value as a number; null if the value of a categorical parameter is not a number.';
comment on column ledger.parameters.text is 'The value as text, for all kinds.';
comment on column ledger.parameters.position is
  'Position of the value in its range, from 0 (low) to 1 (high), on a logarithmic scale for the prior log-uniform; '
  'null for categorical parameters.';
