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
comment on column ledger.datasets.sha256 is
  'SHA-256 of the content, in hexadecimal, by which a study''s objective names it.';
comment on column ledger.datasets.name is 'Name of the file that it was first read from, without its folder.';
comment on column ledger.datasets.bytes is 'Size of the content.';
comment on column ledger.datasets.created_at is 'When it was stored, by the database''s clock.';
