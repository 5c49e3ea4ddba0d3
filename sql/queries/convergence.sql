-- Does the search still find better points? Mean loss and best so far, iteration by iteration.
-- psql -f sql/queries/convergence.sql, or with -v study=NAME for one study.
\if :{?study} \else \set study % \endif
select convergence.study, convergence.iteration, count(*) as trials,
  round(avg(convergence.loss::numeric), 4) as mean_loss,
  round(min(convergence.loss)::numeric, 4) as iteration_best,
  round(min(convergence.best_loss)::numeric, 4) as best_so_far
from ledger.convergence
where convergence.study like :'study'
group by convergence.study, convergence.iteration
order by convergence.study, convergence.iteration;
