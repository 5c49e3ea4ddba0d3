-- Change the tags, the note and the user attributes of a study. The ledger accepts annotations of a study in any state,
-- because an annotation is not a result. The ledger records the login that changed the annotation last, and the time of
-- the change. Answers:
--   annotated: the function changed the annotation.
--   unchanged: the annotation already had the given tags, note and attributes.
--   unknown: no such study exists.
-- Arguments:
--   tags, untag: the tags to add, and the tags to remove.
--   note: the new note. If the argument `note` is null, the note does not change. If the argument `note` is an empty
--     text, the function removes the note.
--   attributes: an object with the user attributes to set.
--   remove: the names of the user attributes to remove.
-- The function waits at most half a second for another transaction that annotates the same study. If the other
-- transaction needs more than half a second, the function raises the error lock_not_available.
create or replace function ledger.annotate_study(
  study_id int, tags text[] default '{}', untag text[] default '{}', note text default null,
  attributes jsonb default '{}', remove text[] default '{}')
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  known ledger.study_annotation;
  wanted ledger.study_annotation;
begin
  perform from ledger.study where id = annotate_study.study_id for key share;
  if not found then
    return 'unknown';
  end if;
  -- The row of the annotation must exist before the function can lock the row. If another transaction removes the row
  -- before the function locks the row, the function inserts the row again.
  loop
    insert into ledger.study_annotation (study_id, annotated_by, annotated_at)
    values (annotate_study.study_id, session_user, ledger.clock())
    on conflict do nothing;
    select * into known from ledger.study_annotation where study_id = annotate_study.study_id for no key update;
    exit when found;
  end loop;
  wanted := known;
  wanted.tags := ledger.merged_tags(known.tags, annotate_study.tags, annotate_study.untag);
  wanted.note := ledger.merged_note(known.note, annotate_study.note);
  wanted.attributes := ledger.merged_attributes(known.attributes, annotate_study.attributes, annotate_study.remove);
  if wanted.tags = '{}' and wanted.note is null and wanted.attributes = '{}' then
    -- The ledger stores no row for an empty annotation.
    delete from ledger.study_annotation where study_id = annotate_study.study_id;
  elsif wanted is distinct from known then
    update ledger.study_annotation
    set tags = wanted.tags, note = wanted.note, attributes = wanted.attributes, annotated_by = session_user,
        annotated_at = ledger.clock()
    where study_id = annotate_study.study_id;
  end if;
  return case when wanted is distinct from known then 'annotated' else 'unchanged' end;
end
$$;

comment on function ledger.annotate_study is
  'Change the tags, the note and the user attributes of a study. Answers annotated, unchanged or unknown.';
