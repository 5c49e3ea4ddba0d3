-- Compute the value of a complete trial from the trial's row. The value is `ledger.value(loss, direction, loss_of_zero,
-- ledger.number(metrics -> metric))`. The views call this function for each trial. The argument score of ledger.value
-- is an expensive expression, so PostgreSQL does not inline ledger.value. A call of an SQL function that is not inlined
-- takes longer than all other work of a view. PostgreSQL inlines trial_value, because its arguments are columns.
--   metrics: the metrics of the trial, or null.
--   metric: the name of the study's metric.
create or replace function ledger.trial_value(
  loss double precision, direction text, loss_of_zero double precision, metrics jsonb, metric text)
returns double precision
language sql immutable parallel safe
return case
  when direction <> 'maximize' then loss
  when loss_of_zero - ledger.number(metrics -> metric) = loss then ledger.number(metrics -> metric)
  else loss_of_zero - loss
end;

comment on function ledger.trial_value is
  'The value that an objective returned, from the loss and the metrics of a trial, and from the direction, loss_of_zero '
  'and metric of the study.';
