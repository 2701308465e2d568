-- Erases what agents answered in firings by the service that ended before a time, and what went wrong in them and in schedules: in
-- all of them, or in those of a user or an agent. When they were, how they ended and what they cost stays. What the platform's own
-- runner has fired is the platform's, whose page shows it. A result that is still to be sent is left. A row that the platform's own rules keep as it is costs the others
-- nothing; so many of them as may be erased at once end the call.
-- Returns how many firings were erased, at most p_limit.
create function public.erase_firings(p_before timestamptz, p_limit integer, p_user_id uuid default null, p_agent_id uuid default null)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_count integer := 0;
  v_kept integer := 0;
  v_reason text;
  v_is_erased boolean;
begin
  for v_id in
    select id from public.scheduled_runs
      where completed_at < p_before and (scheduled_for is not null or error is not null) and delivery_status is distinct from 'pending'
        and (p_user_id is null or user_id = p_user_id) and (p_agent_id is null or agent_id = p_agent_id)
        and (generated_content is not null or result is not null or error_message is not null or error is not null)
      order by completed_at for update skip locked
  loop
    exit when v_count = p_limit or v_kept = p_limit;
    begin
      update public.scheduled_runs
        set generated_content = null, result = null, error_message = null, error = null, output_result = '{}', request = null
        where id = v_id
        returning generated_content is null and result is null and error_message is null and error is null into v_is_erased;
      if v_is_erased then
        v_count := v_count + 1;
      else
        v_kept := v_kept + 1;
        v_reason := 'a trigger keeps them';
      end if;
    exception when others then
      v_kept := v_kept + 1;
      v_reason := sqlerrm;
    end;
  end loop;
  if v_kept > 0 then
    raise warning 'scheduled_runs lets the texts of % rows not be erased: %', v_kept, v_reason;
  end if;
  return v_count;
end $$;

revoke execute on function public.erase_firings(timestamp with time zone, integer, uuid, uuid) from public, anon, authenticated;
grant execute on function public.erase_firings(timestamp with time zone, integer, uuid, uuid) to service_role;
