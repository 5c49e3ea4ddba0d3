-- All source texts from the code of the studies' objectives.
create or replace view ledger.sources as
select
  source.sha256,
  source.text
from ledger.source;

comment on view ledger.sources is 'All source texts of the code of studies'' objectives.';
