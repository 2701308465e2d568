-- The platform's functions as they are live, unsafe ones included, and the publication that a page listens to.
create function public.has_role(_user_id uuid, _role public.app_role) returns boolean
language sql stable security definer set search_path to 'public' as $$
  select exists (select 1 from public.user_roles where user_id = _user_id and role = _role)
$$;

create function public.is_workspace_member(_workspace_id uuid, _user_id uuid) returns boolean
language sql stable security definer set search_path to 'public' as $$
  select exists (select 1 from public.workspace_members where workspace_id = _workspace_id and user_id = _user_id)
$$;

create function public.is_workspace_admin(_workspace_id uuid, _user_id uuid) returns boolean
language sql stable security definer set search_path to 'public' as $$
  select exists (select 1 from public.workspace_members
    where workspace_id = _workspace_id and user_id = _user_id and role in ('owner', 'admin'))
$$;

-- Any role may call it, and it takes a balance below zero.
create function public.deduct_credits(p_user_id uuid, p_credits integer) returns void
language plpgsql security definer set search_path to 'public' as $$
begin
  update public.credit_balances
    set credits_remaining = credits_remaining - p_credits,
        credits_used_this_month = credits_used_this_month + p_credits,
        updated_at = now()
    where user_id = p_user_id;
end $$;

-- A user who is no admin gets no row.
create function public.get_admin_stats() returns table (
  total_users bigint, total_agents bigint, agents_this_week bigint, agents_this_month bigint, active_users bigint,
  total_credits_used bigint, credits_used_this_week bigint, pro_subscribers bigint, expert_subscribers bigint)
language sql stable security definer set search_path to 'public' as $$
  select
    (select count(*) from auth.users),
    (select count(*) from public.agents),
    (select count(*) from public.agents where created_at >= now() - interval '7 days'),
    (select count(*) from public.agents where created_at >= now() - interval '30 days'),
    (select count(distinct user_id) from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage),
    (select coalesce(sum(credits_used), 0)::bigint from public.credit_usage where created_at >= now() - interval '7 days'),
    (select count(*) from public.credit_balances where plan_type = 'pro'),
    (select count(*) from public.credit_balances where plan_type = 'expert')
  where public.has_role(auth.uid(), 'admin')
$$;

create publication supabase_realtime for table public.credit_balances;
