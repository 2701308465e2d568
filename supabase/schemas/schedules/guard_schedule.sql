-- Refuses schedules on another user's account, and keeps `unplanned_since`, `refusals` and `timed_at`, which are the
-- service's alone.
--
-- Whoever writes next_run_at (the page, the platform's runner, the service) has said when the schedule is due next.
-- The service computes it for a schedule that has none, and after an edit of its times that leaves it as it was (clear_next_run).
-- `unplanned_since` is the moment of the edit, so that no firing between the edit and the planning is lost.
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
  -- What is no date that everybody can read counts as none.
  if new.next_run_at not between '1970-01-01Z' and '9999-12-31Z' then
    new.next_run_at := null;
  end if;
  if tg_op = 'INSERT' then
    new.unplanned_since := case when new.next_run_at is null then now() end;
    new.refusals := 0;
    new.timed_at := now();
    return new;
  end if;
  -- A page that saves the whole row sends it back as it has read it.
  if v_is_user then
    new.unplanned_since := old.unplanned_since;
    new.refusals := old.refusals;
  end if;
  if new.next_run_at is distinct from old.next_run_at and new.next_run_at is not null then
    new.unplanned_since := null;
  elsif (new.next_run_at is null and ((new.cron_expression, new.timezone) is distinct from (old.cron_expression, old.timezone)
      or (new.is_enabled and old.is_enabled is not true)))
    -- A faulty schedule, or one that rests, was edited.
    or (old.next_run_at is null and old.unplanned_since > now()
      and (new.user_id, new.agent_id, new.prompt_template, new.output_action, new.output_config)
        is distinct from (old.user_id, old.agent_id, old.prompt_template, old.output_action, old.output_config))
    -- Its time was taken away, and not by fault_schedule or to let it rest.
    or (new.next_run_at is null and old.next_run_at is not null and coalesce(new.unplanned_since <= now(), true))
  then
    new.next_run_at := null;
    new.unplanned_since := now();
  end if;
  new.timed_at := case when new.next_run_at is distinct from old.next_run_at then now() else old.timed_at end;
  return new;
end $$;

create trigger guard_schedule before insert or update on public.agent_schedules for each row
  execute function public.guard_schedule();

revoke execute on function public.guard_schedule() from public, anon, authenticated;
grant execute on function public.guard_schedule() to service_role;
