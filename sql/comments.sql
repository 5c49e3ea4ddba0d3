-- Comments on the objects of the schema `ledger` that have no file of their own in sql/. A column of a view gets the
-- comment of the table's column with the same name. For example, the columns of the view ledger.trials get the comments
-- of the table ledger.trial.
comment on schema ledger is
  'The trial ledger: studies, iterations, trials, attempts and workers. Read the views (\dv+ ledger.*), write with the functions.';

do $$
declare
  thing text;
begin
  for thing in
    select format('comment on column %s.%I is %L', shown.view, shows.attname, col_description(shows.attrelid, shows.attnum))
    from (values
      ('ledger.study'::regclass, 'ledger.studies'::regclass),
      ('ledger.iteration', 'ledger.iterations'),
      ('ledger.manager', 'ledger.managers'),
      ('ledger.trial', 'ledger.trials'),
      ('ledger.attempt', 'ledger.attempts'),
      ('ledger.worker', 'ledger.workers'),
      ('ledger.refusal', 'ledger.refusals'),
      ('ledger.dataset', 'ledger.datasets'),
      ('ledger.code_version', 'ledger.code_versions'),
      ('ledger.source', 'ledger.sources'),
      ('ledger.report', 'ledger.reports'),
      ('ledger.verdict', 'ledger.verdicts'),
      ('ledger.cutoff', 'ledger.cutoffs'),
      ('ledger.promotion', 'ledger.promotions'),
      ('ledger.artifact', 'ledger.artifacts'),
      ('ledger.artifact', 'ledger.checkpoints'),
      ('ledger.study_annotation', 'ledger.studies')) as shown (of, view)
    join pg_attribute as shows on shows.attrelid = shown.of and shows.attnum > 0 and not shows.attisdropped
    join pg_attribute as has on has.attrelid = shown.view and has.attname = shows.attname
  loop
    execute thing;
  end loop;
end
$$;

comment on column ledger.alembic_version.version_num is 'The revision.';
