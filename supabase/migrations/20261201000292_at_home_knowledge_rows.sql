-- Cuts the knowledge of agents that had more than authors may write before that was limited. It may be applied again.
do $$
begin
  -- What changes meanwhile would be kept as it was.
  lock table public.agents in share row exclusive mode;
  perform public.cut_knowledge();
end $$;
