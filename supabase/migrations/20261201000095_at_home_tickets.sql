-- Tickets, with which a page opens a stream or a WebSocket without a token in the address. It may be applied again.
create table if not exists public.access_tickets (
  hash text primary key,
  user_id uuid not null,
  caller jsonb not null,
  run_id uuid,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index if not exists access_tickets_by_expiry on public.access_tickets (expires_at);
create index if not exists access_tickets_of_user on public.access_tickets (user_id);
alter table public.access_tickets enable row level security;
revoke all on public.access_tickets from public, anon, authenticated;
grant select, insert, update, delete on public.access_tickets to service_role;
