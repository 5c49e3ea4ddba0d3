-- Only readers and the owner can read the views for Optuna.
revoke all on schema optuna from public;
revoke all on all tables in schema optuna from public;

do $$
begin
  if to_regrole('ledger_reader') is not null then
    revoke all on all tables in schema optuna from ledger_reader;
    grant usage on schema optuna to ledger_reader;
    grant select on all tables in schema optuna to ledger_reader;
  end if;
end
$$;
