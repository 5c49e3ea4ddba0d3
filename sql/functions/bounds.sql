-- The bounds of what the ledger accepts. Each function returns one bound, and is the only place of this bound. The
-- module ledger/database/bounds.py reads the bounds from this file, so every client checks the same bounds.

-- The longest name in characters: the name of a worker, host, manager or file, or the name of a metric. A listing shows
-- several names in one line.
create or replace function ledger.longest_name() returns int
language sql immutable parallel safe
return 300;
comment on function ledger.longest_name is
  'The longest name of a worker, host, manager, file or metric, in characters.';

-- The longest error in characters. This length is enough for a long traceback, and a study can have many failures.
create or replace function ledger.longest_error() returns int
language sql immutable parallel safe
return 65536;
comment on function ledger.longest_error is
  'The longest error or reason in characters. A longer error loses its middle.';

-- The longest output of an attempt in characters. The end of an output says more about a failure than its beginning.
create or replace function ledger.longest_output() returns int
language sql immutable parallel safe
return 65536;
comment on function ledger.longest_output is
  'The longest output that is kept with an attempt, in characters. A longer output loses its beginning.';

-- The largest JSON document in bytes, as PostgreSQL writes it. A manager reads the documents of all trials of a study.
create or replace function ledger.largest_json() returns int
language sql immutable parallel safe
return 1000000;
comment on function ledger.largest_json is
  'The largest JSON document in bytes, such as the metrics of a trial.';

-- The largest document of a worker's package versions in bytes. A listing of the workers reads one for each worker.
create or replace function ledger.largest_versions() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.largest_versions is
  'The largest document of a worker''s package versions, in bytes.';

-- The largest depth of a value in a JSON document. Python and other readers refuse a document that is nested deeply.
create or replace function ledger.deepest_json() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.deepest_json is
  'The largest number of levels between a JSON document and a value in it.';

-- The longest duration in seconds, about 31 years. A sum of such durations is always a finite number.
create or replace function ledger.longest_seconds() returns float8
language sql immutable parallel safe
return 1000000000;
comment on function ledger.longest_seconds is
  'The longest duration of a training, proposal or lease, in seconds.';

-- The largest number or count. A sum of two counts is still an int.
create or replace function ledger.largest_count() returns int
language sql immutable parallel safe
return 1000000000;
comment on function ledger.largest_count is
  'The largest number of a trial or iteration, and the largest count of attempts.';

-- The first moment. Each moment from here to ledger.latest_moment can be shown in every time zone, by PostgreSQL, Python
-- and pandas.
create or replace function ledger.earliest_moment() returns timestamptz
language sql immutable parallel safe
return timestamptz '1970-01-01 00:00:00+00';
comment on function ledger.earliest_moment is
  'The earliest moment that the ledger records.';

create or replace function ledger.latest_moment() returns timestamptz
language sql immutable parallel safe
return timestamptz '2200-01-01 00:00:00+00';
comment on function ledger.latest_moment is
  'The moment before which all recorded moments are.';

-- The number of workers without an attempt that the ledger keeps. It is larger than any fleet that waits for a study.
create or replace function ledger.most_idle_workers() returns int
language sql immutable parallel safe
return 5000;
comment on function ledger.most_idle_workers is
  'The number of workers without an attempt that the ledger keeps.';

-- How long the ledger keeps a worker without an attempt after its last announcement.
create or replace function ledger.idle_workers_kept_for() returns interval
language sql immutable parallel safe
return interval '1 hour';
comment on function ledger.idle_workers_kept_for is
  'How long the ledger keeps a worker without an attempt after its last announcement.';

-- The number of times that a trial can be released without a pause. A worker that claims several short trials may release
-- a trial for each long trial before it, and a machine that can be taken away may release a trial more often.
create or replace function ledger.free_releases() returns int
language sql immutable parallel safe
return 5;
comment on function ledger.free_releases is
  'The number of times that a trial can be released and claimed again at once.';

-- The longest pause of a released trial.
create or replace function ledger.longest_release_pause() returns interval
language sql immutable parallel safe
return interval '1 hour';
comment on function ledger.longest_release_pause is
  'The longest time for which a trial that was released too often cannot be claimed.';
