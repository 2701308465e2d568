-- Keeps why the gateway has failed while a run was under way, which admins alone read; of all attempts the last 50. A call by an
-- attempt that no longer owns the run, or after its end, keeps nothing.
--   p_failures  [{attempt, at, code, status, reason, cause, model}]
create function public.note_failures(p_run_id uuid, p_attempt integer, p_failures jsonb) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
begin
  insert into public.agent_run_failures as f (run_id, failures)
    select id, p_failures from public.agent_runs where id = p_run_id and attempt = p_attempt and finished_at is null
    on conflict (run_id) do update set failures = (
      select jsonb_agg(failure order by n) from (
        select failure, n from jsonb_array_elements(f.failures || excluded.failures) with ordinality as all_of_them (failure, n)
          order by n desc limit 50) as last_of_them);
  return '{"noted": true}';
end $$;

revoke execute on function public.note_failures(uuid, integer, jsonb) from public, anon, authenticated;
grant execute on function public.note_failures(uuid, integer, jsonb) to service_role;
