-- Every file that studies train on, without its content.
create or replace view ledger.datasets as
select
  dataset.sha256,
  dataset.name,
  dataset.bytes,
  dataset.created_at,
  (select count(*) from ledger.study where spec -> 'objective' -> 'data' ->> 'sha256' = dataset.sha256) as studies
from ledger.dataset;
comment on view ledger.datasets is 'Every file that studies train on, without its content.';
comment on column ledger.datasets.studies is 'How many studies use it.';
