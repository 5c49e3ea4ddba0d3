-- The enum types that Optuna needs. Optuna's SQL statements cast values to the enum types in this file.
do $$
begin
  if to_regtype('optuna.trialstate') is null then
    create type optuna.trialstate as enum ('RUNNING', 'COMPLETE', 'PRUNED', 'FAIL', 'WAITING');
  end if;
  if to_regtype('optuna.studydirection') is null then
    create type optuna.studydirection as enum ('NOT_SET', 'MINIMIZE', 'MAXIMIZE');
  end if;
  if to_regtype('optuna.trialvaluetype') is null then
    create type optuna.trialvaluetype as enum ('FINITE', 'INF_POS', 'INF_NEG');
  end if;
  if to_regtype('optuna.trialintermediatevaluetype') is null then
    create type optuna.trialintermediatevaluetype as enum ('FINITE', 'INF_POS', 'INF_NEG', 'NAN');
  end if;
end
$$;
