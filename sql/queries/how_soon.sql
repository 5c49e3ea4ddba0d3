-- How soon did the search nearly reach its best value? The regret is the difference between the best loss so far and
-- the study's best loss. The query shows the number of complete trials after which the regret was at most a tenth of
-- the first trial's regret. The query also shows the number of complete trials after which the regret was at most a
-- hundredth of the first trial's regret. The query also shows the number of complete trials after which the regret was
-- 0.
-- psql -f sql/queries/how_soon.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, count(*) as complete, round(first_regret::numeric, 4) as first_regret,
  min(place) filter (where simple_regret::numeric <= first_regret::numeric / 10) as trials_to_a_tenth,
  min(place) filter (where simple_regret::numeric <= first_regret::numeric / 100) as trials_to_a_hundredth,
  min(place) filter (where simple_regret = 0) as trials_to_best
from (
  select study, simple_regret,
    row_number() over (partition by study order by trial) as place,
    first_value(simple_regret) over (partition by study order by trial) as first_regret
  from ledger.regret
  where :'study' in (study, '')) as regrets
group by study, first_regret
order by study;
