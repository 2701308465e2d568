-- Ends the runs of a user that no process has owned for ten minutes, and returns whether there were any. Such runs exist
-- where the edge function runs agents and no service takes them over. A run that waits for a slot counts as forsaken only
-- if no process lives.
create function public.end_forsaken_runs(p_user_id uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_run public.agent_runs;
  v_any boolean := false;
begin
  for v_run in
    select * from public.agent_runs r
      where user_id = p_user_id and finished_at is null
        and case when lease_until > '-infinity' then lease_until else created_at end < now() - interval '10 minutes'
        and public.is_abandoned(r)
        and ((lease_until > '-infinity' and (owner is not null or status = 'running'))
          or not exists (select from public.agent_workers w where w.seen_at > now() - interval '11 minutes'))
      for update skip locked
  loop
    update public.agent_runs set attempt = attempt + 1 where id = v_run.id;
    perform public.finish_run(v_run.id, v_run.attempt + 1, 'failed', '', null, null, 0, null, jsonb_build_object(
      'code', 'abandoned', 'message', 'The run was ended: nobody went on with it.'));
    v_any := true;
  end loop;
  return v_any;
end $$;

revoke execute on function public.end_forsaken_runs(uuid) from public, anon, authenticated;
grant execute on function public.end_forsaken_runs(uuid) to service_role;
