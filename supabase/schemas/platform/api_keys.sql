create table public.api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  key_name text not null,
  key_hash text not null,
  key_prefix text not null,
  last_used_at timestamptz,
  is_active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table public.api_keys enable row level security;
revoke all on public.api_keys from public, anon, authenticated;
grant select, insert, update, delete on public.api_keys to authenticated;
create policy api_keys_own on public.api_keys for all to authenticated
  using (user_id = (select auth.uid()));
