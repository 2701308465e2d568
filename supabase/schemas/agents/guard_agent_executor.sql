-- Refuses users who set where an agent runs or what runs it; only admins and the service do. The edge function sends its
-- secret to `railway_url`, and `entrypoint` names code that the service runs. A blank value, or the value that the row
-- already has, may be saved by anybody who may write the row.
create function public.guard_agent_executor() returns trigger
language plpgsql set search_path = '' as $$
declare
  -- current_user is the role of the request; within a function that has its owner's rights it is the owner.
  v_is_user boolean := current_user in ('anon', 'authenticated');
  v_before jsonb := '{}';
begin
  if not v_is_user then
    return new;
  end if;
  -- An insert may turn out to be an upsert of a row that exists.
  select to_jsonb(a) into v_before from public.agents a where a.id = case when tg_op = 'UPDATE' then old.id else new.id end;
  if (coalesce(new.railway_url, '') not in ('', coalesce(v_before ->> 'railway_url', ''))
      or new.executor not in ('model', coalesce(v_before ->> 'executor', ''))
      or coalesce(new.entrypoint, '') not in ('', coalesce(v_before ->> 'entrypoint', '')))
    and not public.has_role(auth.uid(), 'admin')
  then
    raise sqlstate '42501' using message = 'Only admins set an agent''s railway_url, executor or entrypoint.';
  end if;
  return new;
end $$;

create trigger guard_agent_executor before insert or update on public.agents for each row
  execute function public.guard_agent_executor();

revoke execute on function public.guard_agent_executor() from public, anon, authenticated;
