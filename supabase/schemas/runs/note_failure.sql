-- Keeps the reason of a failed run, which admins alone read, apart from what its user reads. Returns {code, message}.
--   p_error  {code, message, reason?}, or null
create function public.note_failure(p_run_id uuid, p_error jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if p_error ->> 'reason' is not null then
    insert into public.agent_run_failures as f (run_id, reason) values (p_run_id, left(p_error ->> 'reason', 300))
      on conflict (run_id) do update set reason = coalesce(f.reason, excluded.reason);
  end if;
  return p_error - 'reason';
end $$;

revoke execute on function public.note_failure(uuid, jsonb) from public, anon, authenticated;
grant execute on function public.note_failure(uuid, jsonb) to service_role;
