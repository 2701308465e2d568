import { DEMO_USER, OTHER_USER } from './helper.js'

/** A project that is live before the migrations, on a database with what Supabase provides. */
export interface LiveProject { name: string, sql: string }

/** What projects of this age have: everything on what is new is granted to everybody, and row-level security is all there is. */
const OLD_GRANTS = `
  alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
  alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
  alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;`

const USERS = `insert into auth.users (id, email) values ('${DEMO_USER}', 'demo@example.com'), ('${OTHER_USER}', 'other@example.com');`

const ROLES = `
  create type public.app_role as enum ('admin', 'moderator', 'user');
  create table public.user_roles (id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade, role public.app_role not null, unique (user_id, role));
  insert into public.user_roles (user_id, role) values ('${DEMO_USER}', 'admin');
  create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
    language sql stable security definer as $$
    select exists (select 1 from public.user_roles where user_id = _user_id and role = _role) $$;`

const FUNCTIONS = `
  create function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
    language plpgsql security definer as $$ begin
    update public.credit_balances set credits_remaining = credits_remaining - p_credits,
      credits_used_this_month = credits_used_this_month + p_credits where user_id = p_user_id;
  end $$;
  create function public.get_admin_stats() returns table (total_users bigint, total_agents bigint, agents_this_week bigint,
    agents_this_month bigint, active_users bigint, total_credits_used bigint, credits_used_this_week bigint,
    pro_subscribers bigint, expert_subscribers bigint) language plpgsql security definer as $$ begin
    if not public.has_role(auth.uid(), 'admin') then raise exception 'Access denied'; end if;
    return query select 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint;
  end $$;`

/** The tables as such projects are made, with their policies, good and bad. */
const CAREFUL = `${OLD_GRANTS}${USERS}${ROLES}
  create publication supabase_realtime;
  create table public.agents (id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users (id) on delete cascade,
    name text not null, description text, purpose text not null, status text not null default 'draft', system_prompt text,
    ai_model text default 'google/gemini-2.5-flash', temperature numeric default 0.7, max_tokens integer default 1000,
    knowledge_base jsonb default '[]', is_published boolean default false, is_heavy boolean default false, railway_url text,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now());
  create table public.credit_balances (id uuid primary key default gen_random_uuid(),
    user_id uuid not null unique references auth.users (id) on delete cascade, credits_remaining integer not null default 50,
    credits_used_this_month integer not null default 0, plan_type text not null default 'free', updated_at timestamptz default now());
  create table public.credit_usage (id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users (id) on delete cascade,
    agent_id uuid not null references public.agents (id) on delete cascade, credits_used integer not null check (credits_used > 0),
    operation_type text not null check (operation_type in ('chat', 'image')), metadata jsonb, created_at timestamptz not null default now(),
    description text not null);
  create table public.api_keys (id uuid primary key default gen_random_uuid(), user_id uuid not null references auth.users (id),
    key_name text not null, key_hash text not null unique, key_prefix text not null, last_used_at timestamptz, is_active boolean default true);
  alter table public.agents enable row level security;
  alter table public.credit_balances enable row level security;
  alter table public.credit_balances force row level security;
  alter table public.credit_usage enable row level security;
  alter table public.api_keys enable row level security;
  alter table public.user_roles enable row level security;
  create policy "Anyone can view published agents" on public.agents for select
    using (is_published or auth.uid() = user_id or public.has_role(auth.uid(), 'admin'));
  create policy "Users manage their own agents" on public.agents for all using (auth.uid() = user_id);
  create policy "Users can view their own credits" on public.credit_balances for select using (auth.uid() = user_id);
  create policy "Users can update their own credits" on public.credit_balances for update using (auth.uid() = user_id);
  create policy "Service role can manage credits" on public.credit_balances for all using (true);
  create policy "System can insert usage" on public.credit_usage for insert with check (true);
  create policy "Users can view their own usage" on public.credit_usage for select using (auth.uid() = user_id);
  create policy "Users manage their own keys" on public.api_keys for all using (auth.uid() = user_id);
  create policy "Users can view their own roles" on public.user_roles for select using (auth.uid() = user_id);
  create policy "Users can choose a role" on public.user_roles for insert with check (auth.uid() = user_id);
  create policy "Admins can manage roles" on public.user_roles for all using (public.has_role(auth.uid(), 'admin'));
  grant update (credits_remaining) on public.credit_balances to authenticated;
  create function public.handle_new_user() returns trigger language plpgsql security definer as $$ begin
    insert into public.credit_balances (user_id) values (new.id); return new; end $$;
  create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
  insert into public.agents (id, user_id, name, purpose, is_published)
    values ('aaaaaaaa-0000-4000-8000-000000000001', '${OTHER_USER}', 'Public helper', 'To help.', true);
  insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month) values ('${DEMO_USER}', 42, 8), ('${OTHER_USER}', -5, 55);
  insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, description)
    values ('${DEMO_USER}', 'aaaaaaaa-0000-4000-8000-000000000001', 8, 'chat', 'A chat');${FUNCTIONS}`

/** The bare columns that the service knows of, no keys but what it must have, and no row-level security at all. */
const BARE = `${OLD_GRANTS}${USERS}${ROLES}
  create publication supabase_realtime;
  create table public.agents (id uuid primary key, user_id uuid, name text, description text, purpose text not null, status text);
  create table public.credit_balances (user_id uuid unique, credits_remaining integer, credits_used_this_month integer, plan_type text);
  create table public.credit_usage (user_id uuid, credits_used integer, operation_type text);
  create table public.api_keys (user_id uuid, key_name text, key_hash text, key_prefix text);
  create table public.agent_functions (id uuid, agent_id uuid, name text, function_type text, trigger_keywords text[], config jsonb);
  create table public.agent_schedules (id uuid, cron_expression text, timezone text, prompt_template text, output_action text);
  create table public.scheduled_runs (id uuid);
  create table public.conversations (id uuid);
  create table public.messages (id uuid, content text);
  insert into public.agents (id, user_id, name, purpose) values ('aaaaaaaa-0000-4000-8000-000000000001', '${OTHER_USER}', 'Public helper', 'To help.');
  insert into public.credit_balances values ('${DEMO_USER}', 42, null, null), ('${OTHER_USER}', -5, 55, 'pro'), (gen_random_uuid(), null, null, null);
  insert into public.credit_usage values ('${DEMO_USER}', 8, 'chat');${FUNCTIONS}`

/** Whose publication says "everything", and whose balances have a check of their own. */
const PUBLISHED = `${USERS}${ROLES}
  create publication supabase_realtime for all tables;
  create table public.credit_balances (id uuid primary key default gen_random_uuid(), user_id uuid not null unique,
    credits_remaining integer not null default 0 constraint never_too_many check (credits_remaining < 1000000),
    credits_used_this_month integer not null default 0, plan_type text not null default 'free');
  insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month) values ('${DEMO_USER}', 42, 8), ('${OTHER_USER}', -5, 55);
  grant select on public.credit_balances to public;${FUNCTIONS}`

export const LIVE_PROJECTS: LiveProject[] = [
  { name: 'with policies, good and bad', sql: CAREFUL },
  { name: 'with bare tables that everybody may write', sql: BARE },
  { name: 'with a publication of all tables', sql: PUBLISHED }
]
