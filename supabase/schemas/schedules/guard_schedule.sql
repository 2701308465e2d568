-- Refuses schedules on another user's account, and keeps the planning to the service: a new or edited schedule is planned
-- again. `unplanned_since` is the moment of the edit, so that no firing between the edit and the planning is lost.
create function public.guard_schedule() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_is_user boolean := current_user in ('anon', 'authenticated');
begin
  if v_is_user and new.user_id is distinct from auth.uid()
    and (tg_op = 'INSERT' or new.user_id is distinct from old.user_id)
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'A schedule is its own user''s.';
  end if;
  if tg_op = 'INSERT' then
    new.next_run_at := null;
    new.unplanned_since := now();
    return new;
  end if;
  -- A page that saves the whole row sends these back as it has read them.
  if v_is_user then
    new.next_run_at := old.next_run_at;
    new.unplanned_since := old.unplanned_since;
  end if;
  if (new.cron_expression, new.timezone, new.is_active) is distinct from (old.cron_expression, old.timezone, old.is_active)
    or (old.next_run_at is null and old.unplanned_since is null
      and (new.user_id, new.agent_id, new.prompt_template, new.output_action, new.output_config)
        is distinct from (old.user_id, old.agent_id, old.prompt_template, old.output_action, old.output_config))
  then
    new.next_run_at := null;
    new.unplanned_since := now();
  end if;
  return new;
end $$;

create trigger guard_schedule before insert or update on public.agent_schedules for each row
  execute function public.guard_schedule();

revoke execute on function public.guard_schedule() from public, anon, authenticated;
grant execute on function public.guard_schedule() to service_role;
