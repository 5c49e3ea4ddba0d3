-- The parameters, losses and values of all trials, with one row for each trial and parameter.
create or replace view ledger.parameters as
select
  study.name as study,
  trial.number as trial,
  trial.iteration,
  trial.state,
  trial.loss,
  ledger.trial_value(trial.loss, study.direction, study.loss_of_zero, trial.metrics, study.metric) as value,
  chosen.parameter,
  chosen.kind,
  chosen.number,
  case jsonb_typeof(chosen.value) when 'null' then 'null' else chosen.value #>> '{}' end as text,
  case
    when chosen.is_ordered then (
      select (min(choice.place) - 1) / nullif(jsonb_array_length(chosen.choices) - 1, 0)::float8
      from jsonb_array_elements(chosen.choices) with ordinality as choice (value, place)
      where choice.value = chosen.value)
    -- If the choices of a categorical parameter have no order, the column `position` is null, because no choice is the
    -- lowest or the highest.
    when (chosen.number between chosen.low and chosen.high) is not true then null
    when chosen.prior = 'log-uniform'
    then (ln(chosen.number) - ln(chosen.low)) / nullif(ln(chosen.high) - ln(chosen.low), 0)
    -- The view computes the position with the type numeric, because PostgreSQL raises an error if an operation with
    -- doubles underflows.
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
    dimension -> 'choices' as choices,
    dimension ->> 'type' = 'categorical' and coalesce(dimension -> 'ordered' = 'true', false) as is_ordered,
    trial.params -> (dimension ->> 'name') as value,
    ledger.number(trial.params -> (dimension ->> 'name')) as number
  from jsonb_array_elements(study.spec -> 'space') as dimension
  -- Without the clause "offset 0", the planner could first join the studies with their dimensions, and then join the
  -- result with the trials.
  offset 0) as chosen;

comment on view ledger.parameters is
  'The parameters, losses and values of all trials; one row for each trial and parameter of its study''s space.';
comment on column ledger.parameters.study is 'Name of the study.';
comment on column ledger.parameters.trial is 'Number of the trial within the study, from 0.';
comment on column ledger.parameters.iteration is 'Number of the iteration that the trial belongs to, from 0.';
comment on column ledger.parameters.state is
  'State of the trial: pending, running, paused, complete, pruned, failed or cancelled.';
comment on column ledger.parameters.loss is 'Loss of the trial, finite; null unless the trial is complete.';
comment on column ledger.parameters.value is
  'Value of the trial, such as the score of a model or an estimator; null unless the trial is complete.';
comment on column ledger.parameters.parameter is 'Name of the parameter.';
comment on column ledger.parameters.kind is 'Kind of the parameter: real, integer or categorical.';
comment on column ledger.parameters.number is
  'The parameter''s value as a number; null if the value of a categorical parameter is not a number.';
comment on column ledger.parameters.text is
  'The parameter''s value as text, for all kinds; the text null for the choice null.';
comment on column ledger.parameters.position is
  'Position of the parameter''s value in its range, from 0 (low) to 1 (high), on a logarithmic scale for the prior '
  'log-uniform; for ordered choices, the place in the list of choices; null for choices without an order.';
