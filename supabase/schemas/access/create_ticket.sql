-- Stores a ticket of a caller, by the SHA-256 of it in hex, that may be used within p_seconds; with p_run_id, on this run alone.
-- Returns {expiresAt}. A user has 1,000 unused ones at the most.
create function public.create_ticket(p_hash text, p_caller jsonb, p_seconds numeric, p_run_id uuid default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id constant uuid := p_caller ->> 'userId';
  v_expires_at constant timestamptz := now() + make_interval(secs => p_seconds);
begin
  delete from public.access_tickets where user_id = v_user_id and used_at is null and expires_at < now();
  if (select count(*) from public.access_tickets where user_id = v_user_id and used_at is null) >= 1000 then
    raise sqlstate 'PT429' using hint = 'too_many_tickets', message = 'Too many tickets wait to be used: try again in a minute.';
  end if;
  insert into public.access_tickets (hash, user_id, caller, run_id, expires_at) values (p_hash, v_user_id, p_caller, p_run_id, v_expires_at);
  return jsonb_build_object('expiresAt', public.iso_time(v_expires_at));
end $$;

revoke execute on function public.create_ticket(text, jsonb, numeric, uuid) from public, anon, authenticated;
grant execute on function public.create_ticket(text, jsonb, numeric, uuid) to service_role;
