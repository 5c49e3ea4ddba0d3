-- Which choice of a categorical parameter is best, and which choices fail? The query shows the best loss, the median
-- loss and the failures of each choice.
-- psql -f sql/queries/best_per_category.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, parameter, text as value, count(*) filter (where state = 'complete') as complete,
  count(*) filter (where state = 'failed') as failed,
  round(min(loss)::numeric, 4) as best_loss,
  round((percentile_disc(0.5) within group (order by loss))::numeric, 4) as median_loss
from ledger.parameters
where kind = 'categorical' and :'study' in (study, '')
group by study, parameter, text
order by study, parameter, min(loss) nulls last, text;
