-- Return the SHA-256, in hexadecimal, of the parts of an objective's code. The function sorts and concatenates the
-- digests of the parts, and returns the SHA-256 of the result. The digest of a part is the SHA-256 of five concatenated
-- texts, one for each of the keys `kind`, `name`, `code`, `value` and `unwatched`. The text for a key is the SHA-256 of
-- the key's value in UTF-8. If the part does not have a key, the text for the key is a hyphen. In the concatenated
-- texts, each digest is in hexadecimal. The function `digest_parts` in ledger/objectives/fingerprint/record.py computes
-- the same SHA-256.
--   parts: a JSON array of objects.
create or replace function ledger.code_digest(parts jsonb) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return (
  select encode(sha256(convert_to(coalesce(string_agg(digest, '' order by digest collate "C"), ''), 'UTF8')), 'hex')
  from (
    select encode(sha256(convert_to(string_agg(
      coalesce(encode(sha256(convert_to(part ->> key, 'UTF8')), 'hex'), '-'), '' order by place), 'UTF8')), 'hex') as digest
    from jsonb_array_elements(code_digest.parts) with ordinality as given (part, number)
    cross join unnest(array['kind', 'name', 'code', 'value', 'unwatched']) with ordinality as field (key, place)
    group by number) as digests);

comment on function ledger.code_digest is 'The SHA-256 of the parts of a code, in hexadecimal. Internal.';
