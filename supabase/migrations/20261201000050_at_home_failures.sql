-- Why a run failed, in the words of a gateway, a database or a program: for admins, since users read a sentence for users.
create table if not exists public.agent_run_failures (
  run_id uuid primary key references public.agent_runs (id) on delete cascade,
  reason text not null
);
alter table public.agent_run_failures enable row level security;
revoke all on public.agent_run_failures from public, anon, authenticated;
grant select on public.agent_run_failures to authenticated;
grant select, insert, update, delete on public.agent_run_failures to service_role;
drop policy if exists agent_run_failures_admin on public.agent_run_failures;
create policy agent_run_failures_admin on public.agent_run_failures for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));
