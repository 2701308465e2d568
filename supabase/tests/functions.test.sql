-- Who may call what, and that what users may call answers them no more than it should.
begin;
create schema if not exists extensions;
create extension if not exists pgtap with schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
set local search_path = public, extensions;
select plan(26);

insert into auth.users (id, email) values
  ('a0000000-0000-4000-8000-000000000001', 'user@example.com'),
  ('a0000000-0000-4000-8000-000000000003', 'admin@example.com');
insert into public.credit_balances (user_id, credits_remaining) values ('a0000000-0000-4000-8000-000000000001', 10)
  on conflict (user_id) do update set credits_remaining = excluded.credits_remaining;
insert into public.user_roles (user_id, role) values ('a0000000-0000-4000-8000-000000000003', 'admin');

create function pg_temp.speak_as(p_role text, p_user_id text default '') returns void language plpgsql as $$
begin
  perform set_config('request.jwt.claims', json_build_object('sub', p_user_id, 'role', p_role)::text, true);
  execute format('set local role %I', p_role);
end $$;
grant execute on all functions in schema pg_temp to public;

select function_returns('public', 'has_role', array['uuid', 'app_role'], 'boolean', 'has_role is what it was');
select function_returns('public', 'deduct_credits', array['uuid', 'integer'], 'void', 'deduct_credits is what it was');
select function_returns('public', 'get_admin_stats', '{}'::name[], 'setof record', 'get_admin_stats is what it was');
select is(proargnames, array['_user_id', '_role'], 'has_role takes the same names') from pg_proc where oid = 'public.has_role'::regproc;
select is(proargnames, array['p_user_id', 'p_credits'], 'so does deduct_credits') from pg_proc where oid = 'public.deduct_credits'::regproc;

-- Functions of extensions and triggers aside, what service_role may call users may not.
select is_empty($$
  select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proname not in ('has_role', 'get_admin_stats')
      and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) $$,
  'no definer function is for anon or users but the two that frontends call');
select is_empty($$
  select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prosecdef and coalesce(array_to_string(p.proconfig, ','), '') not like '%search_path=""%' $$,
  'every definer function has an empty search path');
select ok(not has_function_privilege('anon', 'public.get_admin_stats()', 'execute'), 'anon may not ask for the platform''s figures');
select ok(not has_function_privilege('anon', 'public.has_role(uuid, public.app_role)', 'execute'), 'nor for roles');

select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000001');
select throws_ok($$ select public.deduct_credits('a0000000-0000-4000-8000-000000000001', 1) $$, '42501', null, 'a user takes no credits');
select throws_ok($$ select public.grant_credits('a0000000-0000-4000-8000-000000000001', 100, 'because') $$, '42501', null, 'a user grants none');
select throws_ok($$ select public.admin_grant_credits('a0000000-0000-4000-8000-000000000003', 'a0000000-0000-4000-8000-000000000001', 100, 'because') $$,
  '42501', null, 'not in an admin''s name either');
select is_empty('select from public.get_admin_stats()', 'a user does not get the platform''s figures');
select is(public.has_role('a0000000-0000-4000-8000-000000000001', 'admin'), false, 'a user is no admin');
reset role;

select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000003');
select is(public.has_role('a0000000-0000-4000-8000-000000000003', 'admin'), true, 'an admin is one');
select is((select count(*)::int from public.get_admin_stats()), 1, 'an admin gets the figures');
select throws_ok($$ select public.grant_credits('a0000000-0000-4000-8000-000000000003', 100, 'because') $$, '42501', null, 'an admin grants by the service, which notes it');
reset role;

select pg_temp.speak_as('service_role');
select is((select count(*)::int from public.get_admin_stats()), 1, 'the service gets the figures, though it is no user');
select throws_ok($$ select public.deduct_credits('a0000000-0000-4000-8000-000000000001', 11) $$, 'PT402', null, 'no more is taken than there is');
select lives_ok($$ select public.deduct_credits('a0000000-0000-4000-8000-000000000001', 4) $$, 'the service takes credits');
reset role;
select is(credits_remaining, 6, 'they are gone from the balance') from public.credit_balances where user_id = 'a0000000-0000-4000-8000-000000000001';
select results_eq($$ select credits_used, operation_type from public.credit_usage where user_id = 'a0000000-0000-4000-8000-000000000001' $$,
  $$ values (4, 'deduction') $$, 'and stand in the ledger');
insert into public.credit_usage (user_id, credits_used, operation_type) values ('a0000000-0000-4000-8000-000000000001', 4, 'image');
select results_eq($$ select credits_used, operation_type from public.credit_usage where user_id = 'a0000000-0000-4000-8000-000000000001' $$,
  $$ values (4, 'image') $$, 'once, where their taker says what they were for');
select is((select count(*)::int from jsonb_array_elements(public.audit_credits() -> 'problems') p
  where p ->> 'userId' = 'a0000000-0000-4000-8000-000000000001'), 0, 'so that the audit has nothing to say');

-- Asked by a policy that holds for everybody.
grant execute on function public.has_role(uuid, public.app_role) to anon;
select pg_temp.speak_as('anon');
select is(public.has_role('a0000000-0000-4000-8000-000000000003', 'admin'), false, 'anon does not learn who is an admin');
reset role;
select ok(public.has_role('a0000000-0000-4000-8000-000000000003', 'admin') is not null, 'has_role always answers');

select * from finish();
rollback;
