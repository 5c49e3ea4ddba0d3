-- The iterations from `first` to `first + size - 1` whose environment differs from the environment of the previous
-- iteration. The query skips the iterations without an environment. The first iteration with an environment is always
-- in the result. Each row also contains the number of the last iteration that the query has read. If no iteration has
-- an environment, the query returns one row in which the column `number` is null.
with page as materialized (
  select iteration as number, environment from ledger.iterations
  where study_id = :study and iteration >= :first
  order by iteration
  limit :size)
select changed.number, changed.environment, last.number as last
from (select max(number) as number from page) as last
left join (
  select number, environment
  from (
    select number, environment, lag(environment) over (order by number) as before
    from page where environment <> '{}') as compared
  where before is null or before <> environment) as changed on true
where last.number is not null
order by changed.number
