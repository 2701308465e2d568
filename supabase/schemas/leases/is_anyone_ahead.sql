-- Returns whether a run waits that a process could claim, so that a new run has to wait behind it. Runs of users who have
-- p_max_per_user under way wait for these, and not for a process. Where more than 16 users wait it does not look at all of
-- them, and returns true.
--   p_python, p_room, p_inline_bytes  what the process can execute, see claim_run
create function public.is_anyone_ahead(p_max_per_user integer, p_python boolean, p_room bigint, p_inline_bytes integer) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_user uuid := '00000000-0000-0000-0000-000000000000';
  v_max_looks constant integer := 16;
begin
  for v_look in 1 .. v_max_looks loop
    select user_id into v_user from public.agent_runs
      where finished_at is null and (owner is null or lease_until = '-infinity') and lease_until <= now() and user_id > v_user
      order by user_id limit 1;
    if not found then
      return false;
    end if;
    if (select count(owner) from public.agent_runs r
          where user_id = v_user and finished_at is null and not public.is_abandoned(r)) < p_max_per_user
        and exists (
          select from (
            select id from public.agent_runs
              where user_id = v_user and finished_at is null and (owner is null or lease_until = '-infinity') and lease_until <= now()
              limit v_max_looks) w
            where (p_python or not public.is_python_run(id))
              and (p_room is null or public.input_bytes(id) <= greatest(p_room, p_inline_bytes))) then
      return true;
    end if;
  end loop;
  return true;
end $$;

revoke execute on function public.is_anyone_ahead(integer, boolean, bigint, integer) from public, anon, authenticated;
grant execute on function public.is_anyone_ahead(integer, boolean, bigint, integer) to service_role;
