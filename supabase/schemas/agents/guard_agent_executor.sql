-- Keeps users from setting where an agent runs or what runs it; only admins and the service do. The edge function sends
-- its secret to `railway_url`, and `entrypoint` names code that the service runs.
--
-- Another `railway_url` is not refused, since a page that saves all columns of an agent would lose the others with it: it
-- is kept as a wish in `railway_url_requested` until an admin sets `railway_url`, and `railway_url` stays as it was. The
-- value that the row has may be saved by anybody who may write the row, and leaves the wish alone, as does a blank where
-- there is none: that is what such a page saves while the wish waits. A blank in place of an address clears both. What is longer than
-- admins are shown is no wish.
create function public.guard_agent_executor() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_url text := coalesce(trim(new.railway_url), '');
  -- current_user is the role of the request; within a function that has its owner's rights it is the owner.
  v_is_bound boolean := current_user in ('anon', 'authenticated');
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists. Locked, that row is there until this transaction ends.
    select to_jsonb(a) into v_before from public.agents a where a.id = new.id for update;
  end if;
  if v_is_bound then
    v_is_bound := not public.has_role(auth.uid(), 'admin');
  end if;
  if v_is_bound then
    if new.executor not in ('model', coalesce(v_before ->> 'executor', ''))
      or coalesce(new.entrypoint, '') not in ('', coalesce(v_before ->> 'entrypoint', ''))
    then
      raise sqlstate '42501' using message = 'Only admins set an agent''s executor or entrypoint.';
    end if;
    if v_url not in ('', coalesce(v_before ->> 'railway_url', '')) then
      if tg_op = 'INSERT' and v_before is not null then
        -- The update that follows comes here again; it would not have the wish, for which the upsert has no column.
        return new;
      end if;
      if length(v_url) <= 2000 then
        new.railway_url_requested := v_url;
      end if;
      new.railway_url := v_before ->> 'railway_url';
    elsif v_url = '' and coalesce(v_before ->> 'railway_url', '') <> '' then
      new.railway_url_requested := null;
    end if;
  elsif tg_op = 'UPDATE' and new.railway_url is distinct from old.railway_url then
    new.railway_url_requested := null;
  end if;
  new.railway_url_requested := nullif(trim(new.railway_url_requested), '');
  new.railway_url_requested_at := case
    when new.railway_url_requested is null then null
    when new.railway_url_requested = v_before ->> 'railway_url_requested' then (v_before ->> 'railway_url_requested_at')::timestamptz
    else now() end;
  return new;
end $$;

create trigger guard_agent_executor before insert or update on public.agents for each row
  execute function public.guard_agent_executor();

revoke execute on function public.guard_agent_executor() from public, anon, authenticated;
