-- Raises `key_budget_exhausted` if an API key may begin no further run that holds p_credits. What counts are the runs that it
-- has begun in the last 24 hours, with what they cost or still hold.
create function public.check_key_budget(p_api_key_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_requests_per_day integer;
begin
  select requests_per_day into v_requests_per_day
    from public.api_keys where id = p_api_key_id and (requests_per_day is not null or credits_per_day is not null);
  if not found then
    return;
  end if;
  -- If two runs of a key begin at once, the second waits here until the first is there to be counted.
  perform from public.api_keys where id = p_api_key_id for no key update;
  if p_credits > public.credits_left_of_key(p_api_key_id) or v_requests_per_day <= (
    select count(*) from public.agent_runs where api_key_id = p_api_key_id and created_at > now() - interval '1 day')
  then
    raise sqlstate 'PT402' using hint = 'key_budget_exhausted',
      message = 'This key has used up what it may in a day: try again later.';
  end if;
end $$;

revoke execute on function public.check_key_budget(uuid, integer) from public, anon, authenticated;
grant execute on function public.check_key_budget(uuid, integer) to service_role;
