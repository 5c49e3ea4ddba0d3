-- Each function in this file checks a value, and describes the fault of an invalid value. An invalid value is a value
-- that a client of the database may be unable to read. If the value has no fault, the function returns null. The
-- description of a fault begins with the name of the value, such as "the metrics". The functions in this file call
-- PostgreSQL's function format(), which is stable. Therefore the functions in this file are declared as stable.
-- PostgreSQL does not inline an immutable function that calls a stable function.

-- A database with the encoding SQL_ASCII stores any bytes, but clients expect UTF-8. The function convert_from raises a
-- data exception if the bytes are not UTF-8. In a database with an encoding other than SQL_ASCII, PostgreSQL itself
-- refuses a text with invalid bytes.
create or replace function ledger.encoding_fault(value text) returns text
language sql stable parallel safe
return nullif(left(convert_from(convert_to(value, 'SQL_ASCII'), 'UTF8'), 0), '');
comment on function ledger.encoding_fault is
  'Raise an error if a text of a database without an encoding is not UTF-8; else null. Internal.';

-- A JSON document of at most 200 bytes cannot have more than ledger.deepest_json() levels. A document of at most 200
-- bytes also contains no number beyond the range of a double, because a number beyond this range has at least 309
-- digits. Most documents have at most 200 bytes. Therefore the function first checks the length of a document, and
-- reads the values only if the document has more than 200 bytes.
create or replace function ledger.json_fault(name text, value jsonb, largest int default ledger.largest_json())
returns text
language sql stable parallel safe
return case
  -- A jsonb value has at most four times as many bytes as its text. Therefore the function can refuse a huge document
  -- after a call of `pg_column_size`, and need not convert the document to text.
  when pg_column_size(value) > 5 * largest or octet_length(value::text) > largest
  then format('%s: more than %s bytes of JSON are not allowed; store large values in a file, and record the name of '
              'the file', name, largest)
  when octet_length(value::text) <= 200
  then case when getdatabaseencoding() = 'SQL_ASCII' then ledger.encoding_fault(value::text) end
  when jsonb_path_exists(value, format('strict $.**{%s to last}', ledger.deepest_json() + 1)::jsonpath)
  then format('%s: JSON with more than %s nested levels is not allowed; use fewer levels', name, ledger.deepest_json())
  when jsonb_path_exists(
    value, 'strict $.** ? (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308)')
  then format('%s: a number beyond the range of a double (1.7976931348623157e308) is not allowed; write it as a text',
              name)
  when getdatabaseencoding() = 'SQL_ASCII' then ledger.encoding_fault(value::text)
end;
comment on function ledger.json_fault is
  'What is wrong with a JSON document: its size, its depth or one of its numbers. Null: nothing. Internal.';

create or replace function ledger.text_fault(name text, value text, longest int default ledger.longest_name())
returns text
language sql stable parallel safe
return case
  when length(value) > longest
  then format('%s: a text of %s characters is too long; shorten the text to at most %s characters', name,
              length(value), longest)
  when getdatabaseencoding() = 'SQL_ASCII' then ledger.encoding_fault(value)
end;
comment on function ledger.text_fault is
  'What is wrong with a text: its length. Null: nothing. Internal.';

-- PostgreSQL treats NaN as larger than every other number. Therefore ledger.seconds_fault refuses NaN with the message
-- that the duration is too long.
create or replace function ledger.seconds_fault(name text, value float8) returns text
language sql stable parallel safe
return case
  when value not between 0 and ledger.longest_seconds()
  then format('%s: %s is not a plausible duration; give seconds from 0 to %s', name, value, ledger.longest_seconds())
end;
comment on function ledger.seconds_fault is
  'What is wrong with a duration: it is negative or too long. Null: nothing. Internal.';

create or replace function ledger.count_fault(name text, value int) returns text
language sql stable parallel safe
return case
  when value > ledger.largest_count() then format('%s: %s is too large, at most %s are allowed', name, value,
                                                  ledger.largest_count())
end;
comment on function ledger.count_fault is
  'What is wrong with a number or count: it is too large. Null: nothing. Internal.';

create or replace function ledger.loss_fault(name text, value float8) returns text
language sql stable parallel safe
return case
  when value <= '-infinity' or value >= 'infinity' then format('%s: %s is not a finite number', name, value)
end;
comment on function ledger.loss_fault is
  'What is wrong with a loss: it is not finite. Null: nothing. Internal.';

create or replace function ledger.step_fault(name text, value bigint) returns text
language sql stable parallel safe
return case
  when value not between 0 and ledger.largest_step()
  then format('%s: %s is not a step; give a step from 0 to %s', name, value, ledger.largest_step())
end;
comment on function ledger.step_fault is
  'What is wrong with a step of a training: it is negative or too large. Null: nothing. Internal.';

create or replace function ledger.moment_fault(name text, value timestamptz) returns text
language sql stable parallel safe
return case
  when value < ledger.earliest_moment() or value >= ledger.latest_moment()
  then format('%s: %s is not a plausible time; the ledger records times from %s to %s', name,
              value at time zone 'UTC', extract(year from ledger.earliest_moment() at time zone 'UTC'),
              extract(year from ledger.latest_moment() at time zone 'UTC') - 1)
end;
comment on function ledger.moment_fault is
  'What is wrong with a time: it is too early or too late. Null: nothing. Internal.';

-- A tag may not contain a control character, because a listing shows the tags of a study in one line.
create or replace function ledger.tags_fault(tags text[]) returns text
language sql stable parallel safe
return case
  when array_ndims(tags) > 1 then 'the tags: they are not a list of texts'
  when cardinality(tags) > ledger.most_tags()
  then format('the tags: %s tags are too many, at most %s are allowed', cardinality(tags), ledger.most_tags())
  else (
    select min(
      case when tag is null then 'the tags: they are not a list of texts'
           when tag = '' or tag ~ '[[:cntrl:]]' or tag <> btrim(tag)
           then 'a tag: it is empty, or has a control character or a space at one end; write a word'
           else ledger.text_fault('a tag', tag, ledger.longest_tag()) end)
    from unnest(tags) as tag)
end;
comment on function ledger.tags_fault is
  'What is wrong with the tags of a study or a trial: their number, or one of them. Null: nothing. Internal.';

create or replace function ledger.attributes_fault(attributes jsonb) returns text
language sql stable parallel safe
return case
  when jsonb_typeof(attributes) <> 'object' then 'the attributes: they are not an object'
  else coalesce(
    ledger.json_fault('the attributes', attributes, ledger.largest_attributes()),
    (select case when count(*) > ledger.most_attributes()
            then format('the attributes: %s attributes are too many, at most %s are allowed', count(*),
                        ledger.most_attributes()) end
     from jsonb_object_keys(attributes)),
    (select min(case when name = '' then 'the name of an attribute: it is empty; write a word'
                     else ledger.text_fault('the name of an attribute', name) end)
     from jsonb_object_keys(attributes) as name))
end;
comment on function ledger.attributes_fault is
  'What is wrong with the user attributes of a study or a trial: their number, size, depth or names. Null: nothing. '
  'Internal.';

-- The name of an artifact becomes the name of a file on the machine of a reader. Therefore a name contains no separator
-- of paths and no control character, and does not begin with a dot or a hyphen. On Windows, some names open a device
-- instead of a file, even in lower case or with an extension. Windows also removes a dot at the end of a name. The name
-- of a checkpoint begins with a dot, so no other artifact has the name of a checkpoint.
create or replace function ledger.artifact_name_fault(name text) returns text
language sql stable parallel safe
return case
  when name ~ '^[.]checkpoint-(0|[1-9][0-9]{0,15})$'
  then case when substr(name, 13)::bigint > ledger.largest_step()
       then format('the name: step %s is not a step; give a step from 0 to %s', substr(name, 13), ledger.largest_step()) end
  when name is null or name !~ '^[A-Za-z0-9_][A-Za-z0-9._-]*$' or length(name) > ledger.longest_artifact_name()
  then format('the name: use 1 to %s letters (A-Z, a-z), digits, dots, underscores and hyphens, and begin with a '
              'letter, a digit or an underscore', ledger.longest_artifact_name())
  when name ~ '[.]$' or name ~* '^(con|prn|aux|nul|com[0-9]|lpt[0-9])([.]|$)'
  then 'the name: Windows allows no file with this name; choose another name'
end;
comment on function ledger.artifact_name_fault is
  'What is wrong with the name of an artifact or of a checkpoint. Null: nothing. Internal.';

create or replace function ledger.artifact_fault(name text, sha256 text, size bigint, store text) returns text
language sql stable parallel safe
return case
  when ledger.artifact_name_fault(name) is not null then ledger.artifact_name_fault(name)
  when sha256 is null or sha256 !~ '^[0-9a-f]{64}$' then 'the SHA-256: it is not 64 hexadecimal digits'
  when size is null or size < 0 then 'the size: it is not a number of bytes'
  when store is null and size > ledger.largest_kept_artifact()
  then format('the size: the ledger itself keeps at most %s bytes for each artifact; start the worker with --store',
              ledger.largest_kept_artifact())
  when size > ledger.largest_artifact()
  then format('the size: more than %s bytes are not allowed', ledger.largest_artifact())
  when store = '' or store ~ '[[:cntrl:]]' then 'the store: it is not a URL'
  else ledger.text_fault('the store', store)
end;
comment on function ledger.artifact_fault is
  'What is wrong with an artifact: its name, SHA-256, size or store. Null: nothing. Internal.';
