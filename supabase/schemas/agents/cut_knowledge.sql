-- Keeps what a run gets of knowledge that is larger than its author may write. A migration calls it, for rows from before the limit.
create function public.cut_knowledge() returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.agent_knowledge_cuts (agent_id, knowledge)
    select id, public.fit_knowledge(to_jsonb(knowledge_base)) from public.agents
      -- What is stored in fewer bytes fits, see fits_knowledge: nothing is compressed to less than a 255th.
      where pg_column_size(knowledge_base) > 600 and not public.fits_knowledge(to_jsonb(knowledge_base))
    on conflict (agent_id) do update set knowledge = excluded.knowledge;
end $$;

revoke execute on function public.cut_knowledge() from public, anon, authenticated;
grant execute on function public.cut_knowledge() to service_role;
