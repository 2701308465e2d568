-- Extends the lease of a process, and with it the lease of all its runs.
-- Returns {lapsed, owned, cancel}: whether the lease had run out, so that other processes may have taken its runs; how many
-- runs it owns; and which of them are to be cancelled.
create function public.heartbeat_worker(p_owner uuid, p_lease_seconds numeric) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_before timestamptz;
begin
  select lease_until into v_before from public.agent_workers where owner = p_owner for update;
  insert into public.agent_workers (owner, lease_until)
    values (p_owner, now() + make_interval(secs => p_lease_seconds))
    on conflict (owner) do update set lease_until = excluded.lease_until, seen_at = now();
  return jsonb_build_object(
    'lapsed', v_before is null or v_before < now(),
    'owned', (select count(*) from public.agent_runs where owner = p_owner and finished_at is null),
    'cancel', (select coalesce(jsonb_agg(id), '[]') from public.agent_runs
      where owner = p_owner and cancel_requested and finished_at is null));
end $$;

revoke execute on function public.heartbeat_worker(uuid, numeric) from public, anon, authenticated;
grant execute on function public.heartbeat_worker(uuid, numeric) to service_role;
