-- Supabase projects made since 2026-10-30 grant a new table in `public` to nobody, not even to service_role.
grant select, insert, update, delete on
  public.agents, public.agent_functions, public.agent_schedules, public.scheduled_runs, public.conversations,
  public.messages, public.credit_balances, public.credit_usage, public.api_keys, public.user_roles
  to service_role;

-- Users read their own roles, admins read all. Who may write them in a live project, the mending of it decides.
alter table public.user_roles enable row level security;
revoke all on public.user_roles from public, anon, authenticated;
grant select on public.user_roles to authenticated;
create policy user_roles_own on public.user_roles for select to authenticated
  using (user_id = (select auth.uid()));
create policy user_roles_admin on public.user_roles for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));

create index api_keys_by_hash on public.api_keys (key_hash);
