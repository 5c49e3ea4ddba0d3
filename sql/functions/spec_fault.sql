-- Return a description of the fault in a study's spec, or null if the function finds no fault. The function checks only
-- the parts of the spec that are read by generated columns, views, commands and workers. The function checks the types
-- and the ranges of the values in the spec. The caller of ledger.create_study checks the rest of the spec, such as the
-- names of models and metrics.
create or replace function ledger.spec_fault(spec jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
  objective jsonb := spec -> 'objective';
  data jsonb := spec -> 'objective' -> 'data';
  holdout jsonb := spec -> 'objective' -> 'data' -> 'holdout';
  wrong text;
begin
  if jsonb_typeof(spec) is distinct from 'object' or jsonb_typeof(objective) is distinct from 'object'
     or jsonb_typeof(spec -> 'limits') is distinct from 'object'
     or jsonb_typeof(spec -> 'space') is distinct from 'array' then
    return 'the spec: it is not an object with the objects objective and limits and the array space';
  end if;
  if coalesce(spec ->> 'mode', 'batch') not in ('batch', 'steady') or jsonb_typeof(spec -> 'mode') <> 'string' then
    return 'the spec: the mode is neither "batch" nor "steady"';
  end if;
  if spec ? 'batch_size' and not (
    case
      when (spec -> 'batch_size')::text ~ '^[0-9]{1,9}$'
      then (spec ->> 'batch_size')::int between 1 and ledger.largest_batch()
      else false
    end) then
    return format('the spec: batch_size must be an integer from 1 to %s', ledger.largest_batch());
  end if;
  -- A key must not have the value null. If a setting has its default value, the spec does not contain the setting's
  -- key.
  select string_agg(key, ', ' order by key) into wrong
  from unnest(array['dataset', 'estimator', 'function', 'metric', 'model', 'params_as', 'task']) as key
  where jsonb_typeof(objective -> key) <> 'string' or length(objective ->> key) > ledger.longest_name();
  if wrong is not null then
    return format('the spec: in the objective, %s must be a text of at most %s characters', wrong,
                  ledger.longest_name());
  end if;
  if objective ? 'command' and not (
    case jsonb_typeof(objective -> 'command')
      when 'array' then jsonb_array_length(objective -> 'command') between 1 and 1000
                        and not jsonb_path_exists(objective, 'strict $.command[*] ? (@.type() != "string")')
      else false
    end) then
    return 'the spec: in the objective, command must be an array of 1 to 1000 texts';
  end if;
  if objective ->> 'direction' not in ('minimize', 'maximize') or jsonb_typeof(objective -> 'direction') <> 'string'
     or objective ?| array['model', 'estimator', 'steps'] and objective ->> 'direction' = 'minimize' then
    return 'the spec: the direction of the objective is neither "minimize" nor "maximize", or is "minimize" for a model';
  end if;
  if jsonb_typeof(objective -> 'record_source') <> 'boolean' then
    return 'the spec: in the objective, record_source must be a boolean';
  end if;
  -- The spec must contain the number of folds (cv) and the number of repeats as integers such as 5. Some clients would
  -- read 5.0 as a float.
  if (objective -> 'cv')::text !~ '^[0-9]{1,9}$' then
    return 'the spec: in the objective, cv must be the number of folds, an integer';
  end if;
  if (objective -> 'repeats')::text !~ '^[0-9]{1,9}$' then
    return 'the spec: in the objective, repeats must be the number of cross-validations, an integer';
  end if;
  if jsonb_typeof(objective -> 'steps') <> 'array' or jsonb_path_exists(
    objective -> 'steps', 'strict $[*] ? (@.type() != "array" || @.size() != 2 || @[*].type() != "string")') then
    return 'the spec: in the objective, steps must be an array of pairs of a name and an estimator';
  end if;
  if jsonb_typeof(objective -> 'params') <> 'object' then
    return 'the spec: in the objective, params must be an object';
  end if;
  if jsonb_typeof(objective -> 'class_weights') <> 'object'
     and (objective -> 'class_weights') <> '"balanced"' then
    return 'the spec: in the objective, class_weights must be "balanced" or an object';
  end if;
  if jsonb_typeof(objective -> 'keep_models') <> 'string' or objective ->> 'keep_models' <> 'best'
     or objective ? 'keep_models' and objective ?| array['function', 'command'] then
    return 'the spec: in the objective, keep_models must be "best", and needs a model or an estimator';
  end if;
  if objective ? 'data' and not coalesce(
    jsonb_typeof(data -> 'name') = 'string' and length(data ->> 'name') <= ledger.longest_name()
    and data ->> 'sha256' ~ '^[0-9a-f]{64}$' and jsonb_typeof(data -> 'target_column') = 'string'
    and jsonb_typeof(data -> 'format') = 'string' and length(data ->> 'format') <= ledger.longest_name()
    and (data -> 'rows')::text ~ '^[0-9]{1,9}$', false) then
    return 'the spec: in the objective, data must be an object with the texts name, target_column and format, the text '
           'sha256 of 64 hexadecimal digits, and rows, the number of rows';
  end if;
  select string_agg(key, ', ' order by key) into wrong
  from unnest(array['group_column', 'time_column', 'weight_column']) as key
  where jsonb_typeof(data -> key) <> 'string';
  if wrong is not null then
    return format('the spec: in the objective, data: %s must be the name of a column', wrong);
  end if;
  if data ? 'holdout' and not coalesce(
    jsonb_typeof(holdout -> 'name') = 'string' and length(holdout ->> 'name') <= ledger.longest_name()
    and holdout ->> 'sha256' ~ '^[0-9a-f]{64}$'
    and jsonb_typeof(holdout -> 'format') = 'string' and length(holdout ->> 'format') <= ledger.longest_name()
    and (holdout -> 'rows')::text ~ '^[0-9]{1,9}$', false) then
    return 'the spec: in the objective, data: holdout must be an object with the texts name and format, the text sha256 '
           'of 64 hexadecimal digits, and rows, the number of rows';
  end if;
  if jsonb_path_exists(spec -> 'limits', 'strict $.* ? ((@.type() != "number" && @.type() != "null") || @ < 0 || @ > $longest)',
                       jsonb_build_object('longest', ledger.longest_seconds())) then
    return format('the spec: a limit is not a number from 0 to %s', ledger.longest_seconds());
  end if;
  if (spec -> 'limits' -> 'keep_artifacts')::text !~ '^([1-9][0-9]{0,5}|1000000|null)$' then
    return 'the spec: in the limits, keep_artifacts must be the number of trials that keep their artifacts, an integer';
  end if;
  if spec ? 'stopping' and not coalesce(
    spec -> 'stopping' ->> 'rule' in ('halving', 'promotion', 'median')
    and (spec -> 'stopping' -> 'eta')::text ~ '^([2-9]|1[0-6])$'
    and jsonb_typeof(spec -> 'stopping' -> 'enforce') = 'boolean'
    and ledger.number(spec -> 'stopping' -> 'audit') between 0 and 1
    -- Only an objective that trains a model or an estimator has a resource. With cross-validation, a boosting round has
    -- no mean score over the folds.
    and case spec -> 'stopping' ->> 'resource'
      when 'rows' then objective ?| array['model', 'estimator', 'steps']
      when 'rounds' then objective ? 'model' and not objective ? 'cv'
      else spec -> 'stopping' ->> 'resource' is null
    end
    and case
      when (spec -> 'stopping' -> 'min_resource')::text ~ '^[1-9][0-9]{0,9}$'
           and (spec -> 'stopping' -> 'max_resource')::text ~ '^[1-9][0-9]{0,9}$'
      then (spec -> 'stopping' ->> 'min_resource')::bigint < (spec -> 'stopping' ->> 'max_resource')::bigint
           and (spec -> 'stopping' ->> 'max_resource')::bigint < 2147483648
           -- A rung of the median rule is a multiple of min_resource. Each rule has at most 100 rungs.
           and (spec -> 'stopping' ->> 'rule' <> 'median'
                or ((spec -> 'stopping' ->> 'max_resource')::bigint - 1)
                   / (spec -> 'stopping' ->> 'min_resource')::bigint <= 100)
           and case
             when not spec -> 'stopping' ? 'brackets' then true
             when (spec -> 'stopping' -> 'brackets')::text ~ '^[1-9][0-9]?$'
             then spec -> 'stopping' ->> 'brackets' = '1'
                  -- In steady mode, the rule compares all trials at the same rungs.
                  or spec -> 'stopping' ->> 'rule' = 'promotion' and coalesce(spec ->> 'mode', 'batch') = 'batch'
                     and (spec -> 'stopping' ->> 'brackets')::int <= cardinality(ledger.rungs(spec -> 'stopping'))
             else false
           end
           and case
             when not spec -> 'stopping' ? 'group_size' then true
             when (spec -> 'stopping' -> 'group_size')::text ~ '^[1-9][0-9]{0,8}$'
             -- In steady mode, the rule compares a trial with all earlier arrivals.
             then spec -> 'stopping' ->> 'rule' = 'halving' and coalesce(spec ->> 'mode', 'batch') = 'batch'
                  and (spec -> 'stopping' ->> 'group_size')::int <= ledger.largest_batch()
             else false
           end
      else false
    end, false) then
    return 'the spec: stopping must be an object with the rule halving, promotion or median, eta from 2 to 16, '
           'min_resource below max_resource, audit from 0 to 1, the boolean enforce, at most 100 rungs, at most as many '
           'brackets (only for promotion in batch mode) as rungs, no group_size except for halving in batch mode, and no '
           'resource that the objective does not have';
  end if;
  if exists (
    select from jsonb_array_elements(spec -> 'space') as dimension
    where not coalesce(
      jsonb_typeof(dimension -> 'name') = 'string' and length(dimension ->> 'name') <= ledger.longest_name()
      and case dimension ->> 'type'
        when 'categorical' then jsonb_typeof(dimension -> 'choices') = 'array'
        when 'real' then ledger.number(dimension -> 'low') < ledger.number(dimension -> 'high')
        when 'integer' then ledger.number(dimension -> 'low') < ledger.number(dimension -> 'high')
      end
      and (dimension ->> 'type' = 'categorical' or dimension ->> 'prior' in ('uniform', 'log-uniform'))
      and (not dimension ? 'step' or ledger.number(dimension -> 'step') > 0)
      and (not dimension ? 'powers_of' or ledger.number(dimension -> 'powers_of') > 1)
      and (not dimension ? 'ordered' or jsonb_typeof(dimension -> 'ordered') = 'boolean')
      and (not dimension ? 'tuples' or jsonb_typeof(dimension -> 'tuples') in ('boolean', 'array'))
      and case
        when not dimension ? 'default' then true
        when jsonb_typeof(dimension -> 'choices') = 'array'
        then exists (select from jsonb_array_elements(dimension -> 'choices') as choice
                     where choice = dimension -> 'default')
        else ledger.number(dimension -> 'default') between ledger.number(dimension -> 'low')
                                                       and ledger.number(dimension -> 'high')
      end
      and (dimension ->> 'prior' is distinct from 'log-uniform' or ledger.number(dimension -> 'low') > 0), false)) then
    return 'the spec: a dimension of the space has no name, no known type, no choices, no range, no known prior or a '
           'malformed step, powers_of, ordered, tuples or default';
  end if;
  return null;
end
$$;

comment on function ledger.spec_fault is
  'What is wrong with those parts of a study''s spec that the views, the commands and the workers read. Null: nothing. '
  'Internal.';
