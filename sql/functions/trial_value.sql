-- Compute the value of a complete trial from the trial's row. The value is `ledger.value(loss, direction, loss_of_zero,
-- ledger.number(metrics -> metric))`. The views call this function for each trial. PostgreSQL does not inline
-- ledger.value, because the expression for the argument `score` is expensive. Without inlining, the call of an SQL
-- function for each row takes longer than all other work of a view. PostgreSQL inlines ledger.trial_value, because the
-- arguments of ledger.trial_value are columns.
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
