-- Copies the end of a run to its firing, in the transaction that settles the run. If the live table refuses the values, for whatever
-- reason that another try does not mend, the run is settled nevertheless: it would be made, and paid for, again and again.
create function public.settle_scheduled_run() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
  v_is_sent boolean;
begin
  select r.id, s.output_action in ('webhook', 'api_call')
      and (to_jsonb(s.output_config) ->> 'url' ~ '\S' or to_jsonb(s.output_config) ->> 'webhook_url' ~ '\S')
    into v_id, v_is_sent
    from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id where r.run_id = new.id
    -- Before the firing, as who deletes a schedule locks them.
    for no key update of s;
  if not found then
    return null;
  end if;
  if new.status = 'succeeded' then
    perform public.end_firing(v_id, 'completed', new.response, null, case when not coalesce(v_is_sent, false) then '{"success": true}'::jsonb end,
      new.credits_charged, new.finished_at);
    if v_is_sent then
      update public.scheduled_runs set delivery_status = 'pending', delivery_at = now() where id = v_id;
    end if;
  else
    perform public.end_firing(v_id, 'failed', nullif(new.response, ''),
      case new.status when 'failed' then coalesce(new.error ->> 'message', 'The run failed.') else 'The run was cancelled.' end,
      null, new.credits_charged, new.finished_at);
  end if;
  return null;
exception
  when lock_not_available or transaction_rollback or insufficient_resources then
    raise;
  when others then
    raise warning 'scheduled_runs does not take the end of run %: %', new.id, sqlerrm;
    return null;
end $$;

create trigger settle_scheduled_run after update of finished_at on public.agent_runs for each row
  when (old.finished_at is null and new.finished_at is not null and new.idempotency_key like 'schedule:%')
  execute function public.settle_scheduled_run();

revoke execute on function public.settle_scheduled_run() from public, anon, authenticated;
grant execute on function public.settle_scheduled_run() to service_role;
