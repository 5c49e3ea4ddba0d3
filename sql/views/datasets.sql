-- All data files of studies, without their contents.
create or replace view ledger.datasets as
select
  dataset.sha256,
  dataset.name,
  dataset.bytes,
  dataset.created_at,
  (select count(*) from ledger.study where dataset.sha256 = any (ledger.data_files(spec))) as studies
from ledger.dataset;
comment on view ledger.datasets is 'All data files of studies, without their contents.';
comment on column ledger.datasets.studies is 'Number of studies that use the file.';
