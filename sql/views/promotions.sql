-- For each study in steady mode with the rule `promotion`, the promotions of the study's paused trials.
create or replace view ledger.promotions as
select
  promotion.study_id,
  study.name as study,
  promotion.trial,
  promotion.rung,
  promotion.arrivals,
  promotion.promoted_at
from ledger.promotion
join ledger.study on study.id = promotion.study_id;

comment on view ledger.promotions is
  'Promotions of paused trials in steady mode: one row for each promotion, with the rung at which the trial waited.';
comment on column ledger.promotions.study is 'Name of the study.';
