-- Uses a ticket, and returns its caller; null if it may not be used. It is used once, and again only by a reader that reconnects to
-- the run that it was first used on, while its caller has not ended. A ticket for a run opens nothing else.
--   p_run_id    the run that is to be read; null for a WebSocket
--   p_is_again  whether the reader says which event it has, as browsers do that reconnect
create function public.use_ticket(p_hash text, p_run_id uuid, p_is_again boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_ticket public.access_tickets;
begin
  select * into v_ticket from public.access_tickets where hash = p_hash for update;
  if not found or public.find_ended_callers(jsonb_build_array(jsonb_strip_nulls(v_ticket.caller))) <> '[]' then
    return null;
  end if;
  if v_ticket.used_at is null then
    if v_ticket.expires_at < now() or (v_ticket.run_id is not null and v_ticket.run_id is distinct from p_run_id) then
      return null;
    end if;
  elsif not p_is_again or p_run_id is null or v_ticket.run_id is distinct from p_run_id then
    return null;
  end if;
  update public.access_tickets set used_at = now(), run_id = p_run_id where hash = p_hash;
  return v_ticket.caller;
end $$;

revoke execute on function public.use_ticket(text, uuid, boolean) from public, anon, authenticated;
grant execute on function public.use_ticket(text, uuid, boolean) to service_role;
