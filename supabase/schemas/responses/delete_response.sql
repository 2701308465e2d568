-- Deletes a response that has ended: what is kept of it, and the texts of its run, as the retention would erase them. The run
-- itself and the ledger stay. The caller may read the run as in get_run.
create function public.delete_response(p_user_id uuid, p_run_id uuid, p_api_key_id uuid default null, p_visitor text default null) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '5s' as $$
declare
  v_ended boolean;
begin
  select r.finished_at is not null into v_ended
    from public.agent_runs r where r.id = p_run_id and r.user_id = p_user_id
      and (p_api_key_id is null or (r.api_key_id = p_api_key_id and r.visitor is not distinct from p_visitor))
      and exists (select from public.agent_responses s where s.run_id = r.id)
    for update;
  if not found then
    raise sqlstate 'PT404' using hint = 'response_not_found', message = 'There is no such response.';
  end if;
  if not v_ended then
    raise sqlstate 'PT409' using hint = 'response_under_way', message = 'The response has not ended yet: try again when it has.';
  end if;
  update public.agent_runs
    set response = '', idempotency_key = null, request_hash = '', erased = true,
        error = case when error is not null then jsonb_build_object('code', error ->> 'code', 'message', 'The run failed.') end
    where id = p_run_id;
  perform public.erase_texts(array[p_run_id]);
  return jsonb_build_object('deleted', true);
end $$;

revoke execute on function public.delete_response(uuid, uuid, uuid, text) from public, anon, authenticated;
grant execute on function public.delete_response(uuid, uuid, uuid, text) to service_role;
