-- Each function in this file merges a change into one part of an annotation. The functions ledger.annotate_study and
-- ledger.annotate_trial call the functions in this file.

-- Add the tags in `more`, remove the tags in `fewer`, and return all tags in alphabetical order.
create or replace function ledger.merged_tags(tags text[], more text[], fewer text[]) returns text[]
language sql immutable parallel safe
return array(
  select distinct tag collate "C"
  from unnest(tags || coalesce(more, '{}')) as tag
  where tag is not null and not tag = any (coalesce(fewer, '{}'))
  order by 1);

comment on function ledger.merged_tags is
  'The tags of an annotation after some tags were added and removed. Internal.';

create or replace function ledger.merged_note(note text, changed text) returns text
language sql immutable parallel safe
return case when changed is null then note else nullif(changed, '') end;

comment on function ledger.merged_note is
  'The note of an annotation after a change: null keeps the note, and an empty text removes it. Internal.';

-- If the argument with the change is not a JSON object, the operator `||` returns a JSON array. The trigger on the
-- table of annotations refuses a row with a JSON array.
create or replace function ledger.merged_attributes(attributes jsonb, more jsonb, fewer text[]) returns jsonb
language sql immutable parallel safe
return case
  when more is null or jsonb_typeof(more) = 'object'
  then (attributes || coalesce(more, '{}')) - coalesce(fewer, '{}')
  else more
end;

comment on function ledger.merged_attributes is
  'The user attributes of an annotation after some attributes were set and removed. Internal.';
