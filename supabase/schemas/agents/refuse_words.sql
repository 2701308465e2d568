-- Refuses a list of more words than authors may write, or with a longer word; spaces around a word do not count.
--   p_what  the column, for the sentence
create function public.refuse_words(p_what text, p_words text[]) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if cardinality(p_words) > 100 then
    raise sqlstate 'PT400' using hint = 'bad_request',
      message = format('%s has %s words, and 100 are allowed.', p_what, cardinality(p_words));
  end if;
  if exists (select from unnest(p_words) as words (word) where octet_length(trim(word)) > 100) then
    raise sqlstate 'PT400' using hint = 'bad_request', message = format('A word of %s has more than 100 bytes.', p_what);
  end if;
end $$;

revoke execute on function public.refuse_words(text, text[]) from public;
-- The trigger that calls it runs with the rights of whoever writes the row.
grant execute on function public.refuse_words(text, text[]) to anon, authenticated, service_role;
