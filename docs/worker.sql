-- A complete worker in psql, for one study, or without -v study=NAME for all running studies:
--   psql -X -v study=NAME -f docs/worker.sql "$(ledger db url)"
-- Its objective is an example: the loss is (x - 1)^2 + (y + 2)^2 of the trial's parameters.

\if :{?left} \else
  \set QUIET on
  \set left false
  \if :{?study} \else \set study '' \endif
  -- psql has no loop. So this file includes itself twice on each of 20 levels, which gives a million rounds.
  \set level 20
  select format('psql-%s-%s', pg_backend_pid(), left(gen_random_uuid()::text, 4)) as worker \gset
  select ledger.announce(:'worker', 'psql', pg_backend_pid()) \g /dev/null
\endif

\if :left \else
  select :level - 1 as level, :level > 0 as inner \gset
  \if :inner
    \ir worker.sql
    \ir worker.sql
  \else
    -- The worker creates the claim. If the answer is lost, a call with the same claim returns the same trial.
    select gen_random_uuid() as claim \gset
    select taken.* from (select) as one
      left join ledger.claim(nullif(:'study', ''), array[:'claim'::uuid], :'worker') as taken on true \gset
    \if :{?trial}
      -- A long training must send a heartbeat every :heartbeat_seconds, and stop after the answer false.
      select ledger.heartbeat(:study_id, :trial, :'claim') as mine \gset
      \if :mine
        \set error 'the parameters x and y are needed'
        \unset loss
        select ((params ->> 'x')::float8 - 1) ^ 2 + ((params ->> 'y')::float8 + 2) ^ 2 as loss
          from (values (:'params'::jsonb)) as trained (params) \gset
        \if :ERROR \set error :LAST_ERROR_MESSAGE \endif
        \if :{?loss}
          select ledger.complete(:study_id, :trial, :'claim', :'loss') as answer \gset
        \else
          select ledger.fail(:study_id, :trial, :'claim', :'error') as answer \gset
        \endif
        \echo :study_name trial :trial attempt :attempt :answer
      \endif
    \else
      select ledger.ended(nullif(:'study', '')) as left \gset
      \if :left
        select ledger.announce(:'worker', 'psql', pg_backend_pid(), stopped => true) \g /dev/null
      \else
        select pg_sleep(1) \g /dev/null
      \endif
    \endif
  \endif
  select :level + 1 as level \gset
\endif
