-- What admins have done and looked at.
create table public.admin_actions (
  id bigint generated always as identity primary key,
  admin_id uuid not null,
  action text not null,
  user_id uuid,
  details jsonb not null default '{}',
  -- The key of a request that must not be repeated, and the answer to give if it is.
  idempotency_key text,
  result jsonb,
  created_at timestamptz not null default now()
);
create unique index admin_actions_idempotency on public.admin_actions (admin_id, idempotency_key)
  where idempotency_key is not null;
alter table public.admin_actions enable row level security;
revoke all on public.admin_actions from public, anon, authenticated;
revoke all on sequence public.admin_actions_id_seq from public, anon, authenticated;
grant select on public.admin_actions to authenticated;
grant select, insert, update, delete on public.admin_actions to service_role;
create policy admin_actions_admin on public.admin_actions for select to authenticated
  using ((select public.has_role((select auth.uid()), 'admin')));
