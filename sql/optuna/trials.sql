-- The ledger's trials with the ids that Optuna uses. All views of trials in the schema `optuna` read the view
-- `ledger_trials`.
--
-- In Optuna, the id of a trial is a 32-bit integer. No two trials have the same id, even in different studies. Within a
-- study, a trial with a higher number has a higher id. The view computes an id from the study's id and the trial's
-- number. The view divides the ids into three ranges, so that a ledger can contain many studies, and some studies can
-- have many trials. The first range contains ids for the first 4,096 trials of each study, for up to 262,143 studies.
-- The second range contains ids for the first 65,536 trials of a study, but only for the first 8,191 studies. The third
-- range contains ids for the first 1,048,576 trials of a study, but only for the first 511 studies. A trial whose
-- number exceeds the limit of its study has no id, so Optuna does not see the trial.
create or replace view optuna.ledger_trials as
select
  case
    when number < 4096 and study_id < 262144 then study_id * 4096 + number
    when number < 65536 and study_id < 8192 then 1073741824 + study_id * 65536 + number
    when number < 1048576 and study_id < 512 then 1610612736 + study_id * 1048576 + number
  end as trial_id,
  study_id,
  number,
  iteration,
  source,
  retry_of,
  params,
  state,
  attempts,
  worker,
  claimed_at,
  finished_at,
  loss,
  metrics,
  error
from ledger.trial;

-- Optuna finds the parameters, values and attributes of a trial by the trial's id. The index `trial_optuna_id` has the
-- same expression as the column `trial_id` of the view `ledger_trials`.
create index if not exists trial_optuna_id on ledger.trial ((
  case
    when number < 4096 and study_id < 262144 then study_id * 4096 + number
    when number < 65536 and study_id < 8192 then 1073741824 + study_id * 65536 + number
    when number < 1048576 and study_id < 512 then 1610612736 + study_id * 1048576 + number
  end));

-- Like Optuna 5, the view shows times in UTC, with the type `timestamp without time zone`. If a trial ended but no
-- worker ever claimed the trial, the view shows the end time as the start time. Optuna has no state for a trial that is
-- paused at a rung. For a paused trial, the view shows the state RUNNING, because Optuna's dashboard draws the
-- intermediate values of running trials. The dashboard does not draw the intermediate values of waiting trials.
create or replace view optuna.trials as
select
  trial_id,
  number,
  study_id,
  case state
    when 'pending' then 'WAITING'
    when 'running' then 'RUNNING'
    when 'paused' then 'RUNNING'
    when 'complete' then 'COMPLETE'
    when 'pruned' then 'PRUNED'
    else 'FAIL'
  end::optuna.trialstate as state,
  case when state <> 'pending' then coalesce(claimed_at, finished_at) at time zone 'UTC' end as datetime_start,
  finished_at at time zone 'UTC' as datetime_complete
from optuna.ledger_trials
where trial_id is not null;

-- The value of a numeric parameter is the number itself. The value of a categorical parameter is the index of the
-- chosen value in the list of choices. Optuna's choices are null, booleans, numbers and texts. Therefore the view
-- converts each list and each object among the choices into a JSON text. Optuna has no distribution that contains only
-- the powers of a number. Therefore, if the dimension of a parameter has the key `powers_of`, the view shows a
-- logarithmic distribution of all numbers in the range.
create or replace view optuna.trial_params as
select
  trial.trial_id * 1048576::bigint + dimension.place as param_id,
  trial.trial_id,
  (dimension.of ->> 'name')::varchar as param_name,
  found.value as param_value,
  case dimension.of ->> 'type'
    when 'categorical' then
      jsonb_build_object('name', 'CategoricalDistribution', 'attributes',
        jsonb_build_object('choices', (
          select jsonb_agg(
            case when jsonb_typeof(choice.value) in ('array', 'object') then to_jsonb(choice.value::text)
                 else choice.value end order by choice.place)
          from jsonb_array_elements(dimension.of -> 'choices') with ordinality as choice (value, place))))
    when 'integer' then
      jsonb_build_object('name', 'IntDistribution', 'attributes',
        jsonb_build_object('low', dimension.of -> 'low', 'high', dimension.of -> 'high',
          'step', coalesce(dimension.of -> 'step', '1'),
          'log', dimension.of ->> 'prior' = 'log-uniform'))
    else
      jsonb_build_object('name', 'FloatDistribution', 'attributes',
        jsonb_build_object('low', dimension.of -> 'low', 'high', dimension.of -> 'high',
          'step', dimension.of -> 'step',
          'log', dimension.of ->> 'prior' = 'log-uniform'))
  end::text as distribution_json
from optuna.ledger_trials as trial
join ledger.study on study.id = trial.study_id
cross join lateral jsonb_array_elements(study.spec -> 'space') with ordinality as dimension (of, place)
cross join lateral (
  select
    case
      when dimension.of ->> 'type' = 'categorical' then (
        select min(choice.place) - 1
        from jsonb_array_elements(dimension.of -> 'choices') with ordinality as choice (value, place)
        where choice.value = trial.params -> (dimension.of ->> 'name'))
      -- If the JSON value of a numeric parameter is not a number, the view has no row for the parameter. A number that
      -- is too small for a double becomes 0, so that the view never fails. The view does not call ledger.number,
      -- because a reader of the view may have no privilege in the schema `ledger`.
      when jsonb_typeof(trial.params -> (dimension.of ->> 'name')) = 'number' then
        case when abs((trial.params ->> (dimension.of ->> 'name'))::numeric) < 2.5e-324 then 0
             else (trial.params ->> (dimension.of ->> 'name'))::float8 end
    end as value) as found
where trial.trial_id is not null and found.value is not null;

-- The value of each complete trial. The view computes the same value as the function ledger.value. The view calls
-- neither ledger.value nor ledger.number, because a reader of the view may have no privilege in the schema `ledger`.
create or replace view optuna.trial_values as
select
  trial.trial_id as trial_value_id,
  trial.trial_id,
  0 as objective,
  case
    when study.direction <> 'maximize' then trial.loss
    when study.loss_of_zero - scored.score = trial.loss then scored.score
    else study.loss_of_zero - trial.loss
  end as value,
  'FINITE'::optuna.trialvaluetype as value_type
from optuna.ledger_trials as trial
join ledger.study on study.id = trial.study_id
cross join lateral (
  select case
    when jsonb_typeof(trial.metrics -> study.metric) = 'number' then
      case when abs((trial.metrics ->> study.metric)::numeric) < 2.5e-324 then 0
           else (trial.metrics ->> study.metric)::float8 end
  end as score) as scored
where trial.trial_id is not null and trial.loss is not null;

-- Earlier versions of the ledger created this view without rows, and with the type integer for the column `step`.
-- PostgreSQL cannot change the type of a view's column.
do $$
begin
  if exists (
    select from pg_attribute
    where attrelid = to_regclass('optuna.trial_intermediate_values') and attname = 'step' and atttypid = 'int'::regtype)
  then
    drop view optuna.trial_intermediate_values cascade;
  end if;
end
$$;

-- The learning curve of each trial: like the view ledger.reports, this view shows the reports that no later attempt has
-- replaced. The view computes the same value as the function ledger.value.
create or replace view optuna.trial_intermediate_values as
select
  trial.trial_id * 1048576::bigint + reported.place as trial_intermediate_value_id,
  trial.trial_id,
  reported.step,
  case when study.direction <> 'maximize' then reported.loss else study.loss_of_zero - reported.loss end
    as intermediate_value,
  case when reported.loss is null then 'NAN' else 'FINITE' end::optuna.trialintermediatevaluetype
    as intermediate_value_type
from optuna.ledger_trials as trial
join ledger.study on study.id = trial.study_id
cross join lateral (
  select report.step, report.loss, row_number() over (order by report.step) as place
  from ledger.report
  where report.study_id = trial.study_id and report.trial = trial.number and not exists (
    select from ledger.attempt as later
    where later.study_id = report.study_id and later.trial = report.trial and later.number > report.attempt
      and exists (
        select from ledger.report as again
        where again.study_id = report.study_id and again.trial = report.trial and again.attempt = later.number
          and again.step <= report.step))) as reported
where trial.trial_id is not null;

-- The attributes of a trial are its metrics, its tags, the attributes that a user has set, and other facts about the
-- trial. The view adds the prefix `metrics_` to the name of a metric. If a user's attribute has the same name as
-- another attribute of the trial, the view adds the prefix `attributes_` to the name of the user's attribute.
create or replace view optuna.trial_user_attributes as
select
  trial.trial_id * 1048576::bigint + attribute.place as trial_user_attribute_id,
  trial.trial_id,
  attribute.key::varchar as key,
  attribute.value::text as value_json
from optuna.ledger_trials as trial
left join ledger.trial_annotation as annotation
  on annotation.study_id = trial.study_id and annotation.trial = trial.number
cross join lateral (
  select jsonb_build_object(
    'attempts', trial.attempts,
    'cancelled', case when trial.state = 'cancelled' then true end,
    'error', trial.error,
    'iteration', trial.iteration,
    'retry_of', trial.retry_of,
    'source', trial.source,
    'tags', to_jsonb(nullif(annotation.tags, '{}')),
    'worker', trial.worker) as facts
  -- Without the clause "offset 0", the planner could compute the facts about a trial again for each attribute.
  offset 0) as recorded
cross join lateral (
  select key, value, row_number() over (order by key) as place
  from (
    select key, value from jsonb_each(recorded.facts) where value <> 'null'
    union all
    select 'metrics_' || key, value from jsonb_each(trial.metrics)
    union all
    select case when recorded.facts ? key or trial.metrics ? substring(key from '^metrics_(.*)') then 'attributes_'
                else '' end || key, value
    from jsonb_each(annotation.attributes)) as every) as attribute
where trial.trial_id is not null;
