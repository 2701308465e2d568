-- Refuses more of an API key than its owner may write, where it changes: all of it is read with each request. The service has the
-- same limits in src/contract/api-keys.ts.
create function public.bound_key() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_before public.api_keys := old;
begin
  if tg_op = 'INSERT' then
    -- An insert may turn out to be an upsert of a row that exists.
    select * into v_before from public.api_keys where id = new.id;
  end if;
  if (new.scopes, new.agent_ids, new.origins) is distinct from (v_before.scopes, v_before.agent_ids, v_before.origins) then
    if cardinality(new.scopes) > 1 or cardinality(new.agent_ids) > 100 or cardinality(new.origins) > 100 then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'An API key has one scope, 100 agents and 100 origins at the most.';
    end if;
    if exists (select from unnest(new.origins) as origins (origin) where octet_length(origin) > 300) then
      raise sqlstate 'PT400' using hint = 'bad_request', message = 'An origin of an API key has more than 300 bytes.';
    end if;
  end if;
  return new;
end $$;

create trigger bound_key before insert or update on public.api_keys for each row
  execute function public.bound_key();

revoke execute on function public.bound_key() from public, anon, authenticated;
