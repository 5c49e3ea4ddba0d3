-- Convert the recorded loss of a trial to the value that the objective returned. If the study minimises the value, the
-- value is the loss itself. If the study maximises the value, the value is `loss_of_zero - loss`. For a model or an
-- estimator, `loss_of_zero` is 1 or 0, and the value is the score. The result of `1 - loss` can differ from the score
-- in the last digit. If `loss_of_zero - score` is equal to the recorded loss, the function returns the argument
-- `score`, so that the value is exact.
--   score: the number that the trial has for the study's metric, or null if the trial does not have the metric. The
--     metric of a user's own objective may be independent of the loss.
create or replace function ledger.value(
  loss double precision, direction text, loss_of_zero double precision, score double precision default null)
returns double precision
language sql immutable parallel safe
return case
  when direction <> 'maximize' then loss
  when loss_of_zero - score = loss then score
  else loss_of_zero - loss
end;

comment on function ledger.value is
  'The value that an objective returned, from its loss: the loss itself for the direction minimize, and '
  'loss_of_zero - loss for the direction maximize. A score from which the loss follows is the value.';
