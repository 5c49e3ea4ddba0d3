-- Insert a version of the code of a study's objective, and the source texts of the version. The answer is false if the
-- ledger already has the version. The function waits at most half a second for another transaction that inserts the
-- same version or the same text. If the wait for a text takes longer than half a second, the function stores neither
-- this text nor any later text. If the wait for the version takes longer than half a second, the function raises the
-- error lock_not_available.
--   number: the number of the new version.
--   first_trial: the number of the first trial for which the version is valid.
--   code: an object with the keys `sha256`, `parts`, `sources`, `git_commit`, `git_clean` and `versions`. Each key has
--     the same meaning as the column with the same name in the table ledger.code_version.
--   texts: the source texts. The function stores a text only if the key `sources` of the argument `code` contains the
--     hash of the text. If the encoding of the database cannot represent a character of a text, the function does not
--     store the text, because the stored text would have another hash. If the texts together have more than
--     ledger.largest_texts() bytes, the function raises an error.
create or replace function ledger.add_code(study_id int, number int, first_trial int, code jsonb, texts text[])
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
  given record;
begin
  if (select sum(octet_length(content)) from unnest(add_code.texts) as content) > ledger.largest_texts() then
    raise exception 'code version % of study %, the source texts: they have more than % bytes together',
      add_code.number, add_code.study_id, ledger.largest_texts() using errcode = 'invalid_parameter_value';
  end if;
  insert into ledger.code_version
    (study_id, number, first_trial, sha256, parts, sources, git_commit, git_clean, versions, recorded_at)
  values
    (add_code.study_id, add_code.number, add_code.first_trial, add_code.code ->> 'sha256', add_code.code -> 'parts',
     add_code.code -> 'sources', add_code.code ->> 'git_commit', (add_code.code ->> 'git_clean')::boolean,
     add_code.code -> 'versions', ledger.clock())
  on conflict do nothing;
  if not found then
    return false;
  end if;
  -- All transactions store the texts in the order of the hashes, so two transactions cannot wait for each other.
  <<texts>>
  for given in
    select known.digest, min(known.content) as content
    from (
      select encode(sha256(convert_to(content, 'UTF8')), 'hex') as digest, content
      from unnest(add_code.texts) as content) as known
    where known.digest in (select value from jsonb_each_text(add_code.code -> 'sources'))
    group by known.digest
    order by known.digest
  loop
    begin
      loop
        insert into ledger.source (sha256, text) values (given.digest, given.content) on conflict do nothing;
        -- If the ledger already had the text, another transaction may delete the text before this transaction locks
        -- the text's row.
        perform from ledger.source where sha256 = given.digest for key share;
        exit when found;
      end loop;
    exception when lock_not_available then
      exit texts;
    end;
  end loop;
  return true;
end
$$;

comment on function ledger.add_code is
  'Insert a version of the code of a study''s objective, with its source texts. False if the version exists. Internal.';
