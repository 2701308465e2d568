-- Refuses a value that is larger than authors may write.
--   p_what  the column, for the sentence
--   p_text  the value
--   p_max   bytes
create function public.refuse_beyond(p_what text, p_text text, p_max integer) returns void
language plpgsql immutable set search_path = '' as $$
begin
  if octet_length(p_text) > p_max then
    raise sqlstate 'PT400' using hint = 'bad_request',
      message = format('%s is too large: it has %s bytes, and %s are allowed.', p_what, octet_length(p_text), p_max);
  end if;
end $$;

revoke execute on function public.refuse_beyond(text, text, integer) from public;
-- The triggers that call it run with the rights of whoever writes the row.
grant execute on function public.refuse_beyond(text, text, integer) to anon, authenticated, service_role;
