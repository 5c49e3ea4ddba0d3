-- The bounds of the values that the ledger accepts. Each function in this file returns one bound. No other file defines
-- the bounds. The module ledger/database/bounds.py reads the bounds from this file, so every client checks the same
-- bounds.

-- The maximum length of a name in characters. The maximum length applies to the names of workers, hosts, managers,
-- files and metrics. A listing shows several names in one line, so a name must be short.
create or replace function ledger.longest_name() returns int
language sql immutable parallel safe
return 300;
comment on function ledger.longest_name is
  'The maximum length of the name of a worker, host, manager, file or metric, in characters.';

-- The maximum length of an error in characters. An error of the maximum length can contain a long traceback. With a
-- larger maximum, the errors of a study with many failures could need too much space in the database.
create or replace function ledger.longest_error() returns int
language sql immutable parallel safe
return 65536;
comment on function ledger.longest_error is
  'The maximum length of an error or a reason, in characters. The ledger removes the middle of a longer error.';

-- The maximum length of an attempt's output, in characters. If an output exceeds the maximum, the ledger keeps the end
-- of the output, because the end says more about a failure than the beginning.
create or replace function ledger.longest_output() returns int
language sql immutable parallel safe
return 65536;
comment on function ledger.longest_output is
  'The maximum length of an attempt''s output, in characters. The ledger removes the beginning of a longer output.';

-- The maximum length of a source text of an objective's code, in characters. If a source text is longer than the
-- maximum, the ledger stores only the hash of the text.
create or replace function ledger.longest_source() returns int
language sql immutable parallel safe
return 1000000;
comment on function ledger.longest_source is
  'The maximum length of a source text of an objective''s code, in characters.';

-- The maximum total size, in bytes, of the source texts that one call records.
create or replace function ledger.largest_texts() returns int
language sql immutable parallel safe
return 1000000;
comment on function ledger.largest_texts is
  'The maximum size of all source texts of a code that one call records, in bytes.';

-- The maximum size of a JSON document, as the number of bytes in the text that PostgreSQL writes for the document. A
-- manager reads the JSON documents of all trials of a study, so a document must not be too large.
create or replace function ledger.largest_json() returns int
language sql immutable parallel safe
return 1000000;
comment on function ledger.largest_json is
  'The maximum size of a JSON document, such as the metrics of a trial, in bytes.';

-- The maximum size in bytes of the JSON document that contains a worker's package versions. A listing of the workers
-- reads the package versions of each worker, so the document of a worker must be small.
create or replace function ledger.largest_versions() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.largest_versions is
  'The maximum size of the document with a worker''s package versions, in bytes.';

-- The bounds of an annotation. An annotation consists of the tags, the note and the user attributes of a study or a
-- trial. A listing of studies reads the annotation of each study, so an annotation must be small.
create or replace function ledger.longest_tag() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.longest_tag is
  'The maximum length of a tag, in characters.';

create or replace function ledger.most_tags() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.most_tags is
  'The maximum number of tags of a study or a trial.';

create or replace function ledger.longest_note() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.longest_note is
  'The maximum length of the note of a study or a trial, in characters.';

create or replace function ledger.most_attributes() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.most_attributes is
  'The maximum number of user attributes of a study or a trial.';

create or replace function ledger.largest_attributes() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.largest_attributes is
  'The maximum size of the document with the user attributes of a study or a trial, in bytes.';

-- The bounds of the reports of trials. A call of ledger.report must be short, because a worker can renew its lease only
-- between two calls. A report page and an export read the reports of many trials. Therefore an attempt must not have
-- too many reports, and the metrics of a report must not be too large.
create or replace function ledger.most_reports_of_call() returns int
language sql immutable parallel safe
return 1000;
comment on function ledger.most_reports_of_call is
  'The maximum number of steps that one call of ledger.report records.';

create or replace function ledger.most_reports() returns int
language sql immutable parallel safe
return 100000;
comment on function ledger.most_reports is
  'The maximum number of steps that one attempt of a trial can report.';

create or replace function ledger.largest_report() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.largest_report is
  'The maximum size of the metrics of one report, in bytes.';

-- The maximum step number of a report. A double can represent each integer up to the maximum step, so every client
-- reads exactly the recorded step number.
create or replace function ledger.largest_step() returns bigint
language sql immutable parallel safe
return 1000000000000000;
comment on function ledger.largest_step is
  'The maximum step of a report.';

-- The bounds of artifacts, which are files that an attempt saves. A store can keep large artifacts. The ledger itself
-- keeps only artifacts that the database can check and copy within seconds.
create or replace function ledger.longest_artifact_name() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.longest_artifact_name is
  'The maximum length of the name of an artifact, in characters.';

create or replace function ledger.most_artifacts() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.most_artifacts is
  'The maximum number of artifacts of an attempt.';

create or replace function ledger.largest_kept_artifact() returns int
language sql immutable parallel safe
return 67108864;
comment on function ledger.largest_kept_artifact is
  'The maximum size of an artifact that the ledger itself keeps, in bytes.';

create or replace function ledger.largest_artifact() returns bigint
language sql immutable parallel safe
return 1099511627776;
comment on function ledger.largest_artifact is
  'The maximum size of an artifact in a store, in bytes.';

create or replace function ledger.artifact_piece_size() returns int
language sql immutable parallel safe
return 1048576;
comment on function ledger.artifact_piece_size is
  'The size of each piece of an artifact that the ledger itself keeps, except the last piece, in bytes.';

-- The number of checkpoints that a trial keeps until it ends. If the content of the last checkpoint is damaged, the
-- next attempt continues from the previous checkpoint.
create or replace function ledger.kept_checkpoints() returns int
language sql immutable parallel safe
return 2;
comment on function ledger.kept_checkpoints is
  'The number of checkpoints that a trial keeps until it ends.';

-- The maximum depth of a value in a JSON document. Python and other readers refuse a document that is nested too
-- deeply.
create or replace function ledger.deepest_json() returns int
language sql immutable parallel safe
return 100;
comment on function ledger.deepest_json is
  'The maximum number of levels between a JSON document and a value in the document.';

-- The maximum duration in seconds, which is about 31 years. Because each duration has a maximum, the sum of many
-- durations is always a finite number.
create or replace function ledger.longest_seconds() returns float8
language sql immutable parallel safe
return 1000000000;
comment on function ledger.longest_seconds is
  'The maximum duration of a training, a proposal or a lease, in seconds.';

-- The largest allowed integer for two kinds of values: counts, such as the number of attempts, and the numbers that
-- identify trials, iterations and rounds. The sum of two counts that have the maximum value is still in the range of
-- the type int.
create or replace function ledger.largest_count() returns int
language sql immutable parallel safe
return 1000000000;
comment on function ledger.largest_count is
  'The maximum number of a trial or iteration, and the maximum count of attempts.';

-- The largest batch size. A listing counts the trials of the last iteration, and reads the totals of all earlier
-- iterations (sql/views/counts.sql). Because the batch size has a maximum, a listing is fast even while a large
-- iteration runs.
create or replace function ledger.largest_batch() returns int
language sql immutable parallel safe
return 10000;
comment on function ledger.largest_batch is
  'The maximum batch size of a study, in trials.';

-- The earliest moment that the ledger accepts. PostgreSQL, Python and pandas can show every moment from
-- ledger.earliest_moment to ledger.latest_moment in every time zone.
create or replace function ledger.earliest_moment() returns timestamptz
language sql immutable parallel safe
return timestamptz '1970-01-01 00:00:00+00';
comment on function ledger.earliest_moment is
  'The earliest moment that the ledger records.';

create or replace function ledger.latest_moment() returns timestamptz
language sql immutable parallel safe
return timestamptz '2200-01-01 00:00:00+00';
comment on function ledger.latest_moment is
  'The limit of recorded moments: each recorded moment is earlier than this moment.';

-- The maximum number of stored workers that have made no attempt. The maximum is larger than any expected number of
-- workers that wait for a study.
create or replace function ledger.most_idle_workers() returns int
language sql immutable parallel safe
return 5000;
comment on function ledger.most_idle_workers is
  'The maximum number of workers without an attempt that the ledger keeps.';

-- If a worker has made no attempt, the ledger deletes the worker's row when ledger.idle_workers_kept_for has passed
-- since the worker's last announcement.
create or replace function ledger.idle_workers_kept_for() returns interval
language sql immutable parallel safe
return interval '1 hour';
comment on function ledger.idle_workers_kept_for is
  'The time for which the ledger keeps a worker without an attempt, after the worker''s last announcement.';

-- When a study has reached its timeout, the manager waits for the time ledger.timeout_grace before the manager releases
-- the running trials. By default, a worker must end its trial within the time ledger.timeout_grace after a stop
-- request.
create or replace function ledger.timeout_grace() returns interval
language sql immutable parallel safe
return interval '8 seconds';
comment on function ledger.timeout_grace is
  'The time that running trials have to end after the timeout of their study, before the ledger releases them.';

-- The number of times that workers can release a trial before a release causes a pause. If a release causes no pause, a
-- worker can claim the trial again at once. If the training of one trial is unexpectedly long, the worker releases the
-- other trials that the worker has claimed. If a cloud provider often stops the machines of workers, the workers may
-- release a trial many times.
create or replace function ledger.free_releases() returns int
language sql immutable parallel safe
return 5;
comment on function ledger.free_releases is
  'The number of times that a trial can be released and claimed again at once.';

-- The maximum pause after the release of a trial. During the pause, no worker can claim the trial.
create or replace function ledger.longest_release_pause() returns interval
language sql immutable parallel safe
return interval '1 hour';
comment on function ledger.longest_release_pause is
  'The maximum time for which no worker can claim a trial that was released too often.';
