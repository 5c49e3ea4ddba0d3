-- Which choice of a categorical parameter is best, and with which choices do trials fail? For each choice, the query
-- shows the best value, the median value and the number of failures.
-- psql -f sql/queries/best_per_category.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, parameter, text as value, count(*) filter (where state = 'complete') as complete,
  count(*) filter (where state = 'failed') as failed,
  round((array_agg(value order by loss))[1]::numeric, 4) as best_value,
  round((percentile_disc(0.5) within group (order by value))::numeric, 4) as median_value
from ledger.parameters
where kind = 'categorical' and :'study' in (study, '')
group by study, parameter, text
order by study, parameter, min(loss) nulls last, text;
