-- Does the search still find better points? For each iteration, the query shows the mean value and the best value of
-- the iteration, and the study's best value up to the iteration.
-- psql -f sql/queries/convergence.sql runs the query for all studies. The option -v study=NAME selects one study.
\if :{?study} \else \set study '' \endif
select study, iteration, complete as trials, round(mean_value::numeric, 4) as mean_value,
  round(iteration_best_value::numeric, 4) as iteration_best, round(best_value::numeric, 4) as best_so_far
from ledger.iteration_regret
where :'study' in (study, '')
order by study, iteration;
