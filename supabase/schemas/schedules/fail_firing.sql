-- Ends a firing whose run will never begin.
create function public.fail_firing(p_id uuid, p_error text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.scheduled_runs where id = p_id and run_id is null and request is not null for update) then
    return '{"failed": false}';
  end if;
  perform public.end_firing(p_id, 'failed', null, p_error, null, 0, now());
  return '{"failed": true}';
end $$;

revoke execute on function public.fail_firing(uuid, text) from public, anon, authenticated;
grant execute on function public.fail_firing(uuid, text) to service_role;
