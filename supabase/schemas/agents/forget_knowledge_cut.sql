-- Forgets what was cut of an agent's knowledge when that changes: what is written now is within the limit.
create function public.forget_knowledge_cut() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.agent_knowledge_cuts where agent_id = new.id) then
    -- Of whole rows: a column in an expression would bind the session's plan to its type, which the platform may change.
    if to_jsonb(old) -> 'knowledge_base' is distinct from to_jsonb(new) -> 'knowledge_base' then
      delete from public.agent_knowledge_cuts where agent_id = new.id;
    end if;
  end if;
  return null;
end $$;

create trigger forget_knowledge_cut after update on public.agents for each row
  execute function public.forget_knowledge_cut();

revoke execute on function public.forget_knowledge_cut() from public, anon, authenticated;
