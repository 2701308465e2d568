-- The inputs of OpenAI's Responses, which are kept until the retention. It may be applied again.
create table if not exists public.agent_responses (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  -- The response that this one continues. It may be gone by now.
  previous_id uuid,
  -- The items that were sent: [{type, role, content, …}].
  input jsonb not null,
  -- What is told again with the response: {instructions, metadata, background, format}.
  details jsonb not null
);
alter table public.agent_responses enable row level security;
revoke all on public.agent_responses from public, anon, authenticated;
grant select, insert, update, delete on public.agent_responses to service_role;
