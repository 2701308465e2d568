-- Who sees what, and that nobody but the service writes it: anon, a user, another user, an admin, service_role.
begin;
create schema if not exists extensions;
create extension if not exists pgtap with schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
set local search_path = public, extensions;
select plan(97);

insert into auth.users (id, email) values
  ('a0000000-0000-4000-8000-000000000001', 'user@example.com'),
  ('a0000000-0000-4000-8000-000000000002', 'another@example.com'),
  ('a0000000-0000-4000-8000-000000000003', 'admin@example.com');
insert into public.credit_balances (user_id, credits_remaining) values
  ('a0000000-0000-4000-8000-000000000001', 10),
  ('a0000000-0000-4000-8000-000000000002', 10)
  on conflict (user_id) do update set credits_remaining = excluded.credits_remaining;
insert into public.user_roles (user_id, role) values
  ('a0000000-0000-4000-8000-000000000002', 'user'),
  ('a0000000-0000-4000-8000-000000000003', 'admin');
insert into public.agents (id, user_id, name, purpose, is_published)
  values ('b0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'Theirs', 'To be run.', true);

-- One finished run of each of the two users, begun and settled as the service does it.
select public.finish_run((public.begin_run(u, 'b0000000-0000-4000-8000-000000000001', 'x', '{"messages": []}', gen_random_uuid(), 60)
    -> 'run' ->> 'runId')::uuid, 1, 'succeeded', 'Hello', 'stop', '{"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}', 1, 'a-model', null, '[]', true)
  from unnest(array['a0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002']::uuid[]) as u;

insert into public.agent_run_failures (run_id, reason) select id, 'A provider spoke.' from public.agent_runs;

-- A schedule of each of the two, planned, with a firing.
insert into public.agent_schedules (id, user_id, agent_id, is_enabled, cron_expression, prompt_template, output_config) values
  ('c0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', true, '0 9 * * *', 'Theirs', '{"url": "https://example.com"}'),
  ('c0000000-0000-4000-8000-000000000002', 'a0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', true, '0 9 * * *', 'Mine', null);
select public.plan_schedule(id, '0 9 * * *', 'UTC', '2099-01-01T09:00:00Z') from public.agent_schedules where id::text like 'c0000000%';
select public.fire_schedule(id, '2099-01-01T09:00:00Z', '2099-01-01T09:00:00Z', '2099-01-02T09:00:00Z', 'Hello', 60) from public.agent_schedules where id::text like 'c0000000%';

-- Speaks as a role of PostgREST's, with a user's claims.
create function pg_temp.speak_as(p_role text, p_user_id text default '') returns void language plpgsql as $$
begin
  perform set_config('request.jwt.claims', json_build_object('sub', p_user_id, 'role', p_role)::text, true);
  execute format('set local role %I', p_role);
end $$;
-- Every way to write a table, each of which has to fail, or to change nothing.
create function pg_temp.cannot_write(p_table text) returns setof text language plpgsql as $$
begin
  return next throws_ok(format('insert into public.%I default values', p_table), '42501', null, p_table || ': no insert');
  return next throws_ok(format('update public.%I set %I = %2$I', p_table,
    (select attname from pg_attribute where attrelid = ('public.' || p_table)::regclass and attnum = 2)), '42501', null, p_table || ': no update');
  return next throws_ok(format('delete from public.%I', p_table), '42501', null, p_table || ': no delete');
end $$;
grant execute on all functions in schema pg_temp to public;

-- anon
select pg_temp.speak_as('anon');
select throws_ok('select from public.agent_runs', '42501', null, 'anon reads no runs');
select throws_ok('select from public.agent_run_steps', '42501', null, 'anon reads no steps');
select throws_ok('select from public.credit_balances', '42501', null, 'anon reads no balances');
select throws_ok('select from public.credit_usage', '42501', null, 'anon reads no ledger');
select throws_ok('select from public.credit_changes', '42501', null, 'in neither table');
select throws_ok('select from public.user_roles', '42501', null, 'anon reads no roles');
select throws_ok('select from public.api_keys', '42501', null, 'anon reads no keys');
select throws_ok('insert into public.credit_balances (user_id) values (gen_random_uuid())', '42501', null, 'anon writes no balance');
select throws_ok('insert into public.credit_usage (user_id, credits_used, operation_type) values (gen_random_uuid(), 1, ''x'')', '42501', null, 'anon writes no ledger');
select throws_ok('select from public.agent_schedules', '42501', null, 'anon reads no schedules');
select throws_ok('select from public.scheduled_runs', '42501', null, 'anon reads no firings');
reset role;

-- A user, and what is another's
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000002');
select results_eq('select user_id::text, response from public.agent_runs',
  $$ values ('a0000000-0000-4000-8000-000000000002', 'Hello') $$, 'a user reads their own runs and no others');
select results_eq('select kind, name, usage from public.agent_run_steps',
  $$ values ('model', 'a-model', '{"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}'::jsonb) $$, 'a user reads the steps of their own runs');
select is((select count(*)::int from public.agent_run_steps), 1, 'and of no others');
select results_eq('select user_id::text, credits_remaining from public.credit_balances',
  $$ values ('a0000000-0000-4000-8000-000000000002', 9) $$, 'a user reads their own balance and no other');
select results_eq('select user_id::text, credits_used from public.credit_usage',
  $$ values ('a0000000-0000-4000-8000-000000000002', 1) $$, 'a user reads their own ledger and no other');
select results_eq('select user_id::text, role::text from public.user_roles',
  $$ values ('a0000000-0000-4000-8000-000000000002', 'user') $$, 'a user reads their own roles and no others');
select is_empty('select from public.admin_actions', 'a user does not see what admins did');
select is_empty('select from public.retention_periods', 'nor how long texts are kept');
select pg_temp.cannot_write(t) from unnest(array['agent_runs', 'agent_run_steps', 'credit_balances', 'credit_usage', 'credit_changes', 'admin_actions', 'retention_periods']) as t;
select throws_ok('truncate public.credit_usage', '42501', null, 'nobody empties the ledger');
select throws_ok($$ insert into public.user_roles (user_id, role) values ('a0000000-0000-4000-8000-000000000002', 'admin') $$, '42501', null, 'nobody makes themselves an admin');
select throws_ok('select from public.agent_run_inputs', '42501', null, 'what a run is made from is the service''s');
select throws_ok('select from public.agent_run_traces', '42501', null, 'so is its trace');
select is_empty('select from public.agent_run_failures', 'why a run failed is for admins');
select throws_ok('select from public.agent_workers', '42501', null, 'so are its processes');
select throws_ok('select from public.credit_settings', '42501', null, 'so is what is given at sign-up');
select is_empty('select from public.credit_changes', 'a user does not see who changed balances');
select throws_ok('select from public.agent_run_checkpoints', '42501', null, 'so is what was said in steps');
select throws_ok('select from public.agent_knowledge_cuts', '42501', null, 'so is what was cut of knowledge');
select throws_ok('select from public.response_cache', '42501', null, 'so are kept answers');
select lives_ok('select from public.model_rates', 'what models cost is for all users to read');
select throws_ok('insert into public.model_rates (model) values (''x'')', '42501', null, 'and not to set');
select results_eq('select prompt_template from public.agent_schedules', $$ values ('Mine') $$, 'a user reads their own schedules and no others');
select results_eq('select schedule_id::text, status from public.scheduled_runs', $$ values ('c0000000-0000-4000-8000-000000000002', 'pending') $$,
  'a user reads their own firings and no others');
select pg_temp.cannot_write(t) from unnest(array['scheduled_runs']) as t;
select throws_ok($$ insert into public.agent_schedules (user_id, agent_id, cron_expression, prompt_template)
  values ('a0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', '* * * * *', 'x') $$, '42501', null, 'nobody schedules at another''s cost');
select throws_ok($$ update public.agent_schedules set user_id = 'a0000000-0000-4000-8000-000000000001' $$, '42501', null, 'nor gives another a schedule');
select lives_ok($$ update public.agent_schedules set next_run_at = '2099-02-02T09:00:00Z', unplanned_since = '2000-01-01', cron_expression = '0 8 * * *', prompt_template = 'Other' $$, 'who saves a whole row');
select results_eq('select prompt_template, next_run_at, unplanned_since from public.agent_schedules',
  $$ values ('Other', '2099-02-02T09:00:00Z'::timestamptz, null::timestamptz) $$, 'says when it is due');
select lives_ok($$ insert into public.agent_schedules (user_id, agent_id, cron_expression, prompt_template, next_run_at, unplanned_since)
  values ('a0000000-0000-4000-8000-000000000002', 'b0000000-0000-4000-8000-000000000001', '* * * * *', 'New', 'infinity', '2000-01-01') $$, 'a user makes schedules');
select results_eq($$ select next_run_at, unplanned_since = now() from public.agent_schedules where prompt_template = 'New' $$,
  $$ values (null::timestamptz, true) $$, 'which the service plans from now on');
reset role;

-- API keys and roles
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000002');
select lives_ok($$ insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ('a0000000-0000-4000-8000-000000000002', 'Site', 'hash', 'jsk_') $$,
  'a user makes a key as the platform''s page does');
select results_eq('select is_publishable, scopes, agent_ids, requests_per_day from public.api_keys',
  $$ values (false, '{}'::text[], null::uuid[], null::integer) $$, 'which has no limits and no scope, and reads no other');
select throws_ok($$ update public.api_keys set user_id = 'a0000000-0000-4000-8000-000000000001' $$, '42501', null, 'nobody makes a key another user''s');
select throws_ok($$ update public.api_keys set scopes = '{admin}' $$, '23514', null, 'nor one that may more than its owner');
select lives_ok('delete from public.api_keys', 'a user deletes a key');
select throws_ok('select from public.spent_key_hashes', '42501', null, 'whose hash the service keeps');
select throws_ok('select from public.access_tickets', '42501', null, 'whose tickets it keeps');
select throws_ok('select from public.agent_responses', '42501', null, 'what clients of other protocols have kept');
select throws_ok('select from public.agent_run_chats', '42501', null, 'and the names of whose chats');
select throws_ok('select from public.visitor_secret', '42501', null, 'as it does what signs visitors'' tokens');
select ok(public.has_role('a0000000-0000-4000-8000-000000000002', 'user') and not public.has_role('a0000000-0000-4000-8000-000000000003', 'admin'),
  'has_role answers users about themselves alone');
reset role;
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000003');
select ok(public.has_role('a0000000-0000-4000-8000-000000000002', 'user'), 'and admins about others');
reset role;

-- A user who has no balance yet
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000003');
select lives_ok($$ insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type)
  values ('a0000000-0000-4000-8000-000000000003', 500, -1, 'enterprise') $$, 'a user makes their own first balance');
select results_eq($$ select credits_remaining, credits_used_this_month, plan_type, credits_reserved from public.credit_balances
  where user_id = 'a0000000-0000-4000-8000-000000000003' $$, $$ values (5, 0, 'basic', 0) $$, 'which is what the platform gives');
select throws_ok($$ insert into public.credit_balances (user_id) values ('a0000000-0000-4000-8000-000000000004') $$, '42501', null, 'and nobody else''s');
select throws_ok($$ insert into public.credit_balances (user_id, credits_reserved) values ('a0000000-0000-4000-8000-000000000003', 0) $$, '42501', null, 'nor what is the service''s');
reset role;

-- The same as somebody without a session's user
select pg_temp.speak_as('authenticated', '');
select is_empty('select from public.agent_runs', 'without a user there are no runs');
select is_empty('select from public.credit_balances', 'nor a balance');
reset role;

-- An admin
select pg_temp.speak_as('authenticated', 'a0000000-0000-4000-8000-000000000003');
select ok((select count(*) from public.agent_runs) >= 2, 'an admin reads all runs');
select ok((select count(*) from public.agent_run_steps) >= 2, 'an admin reads all steps');
select ok((select count(*) from public.credit_balances) >= 2, 'an admin reads all balances');
select ok((select count(*) from public.credit_usage) >= 2, 'an admin reads the whole ledger');
select ok((select count(*) from public.credit_changes) >= 2, 'also what is no use');
select ok((select count(*) from public.agent_run_failures) >= 2, 'an admin reads why runs failed');
select lives_ok('select from public.admin_actions', 'an admin sees what admins did');
select lives_ok('select from public.retention_periods', 'and how long texts are kept');
select throws_ok('update public.credit_balances set credits_remaining = 1000', '42501', null, 'and writes no balance either');
select throws_ok('delete from public.credit_usage', '42501', null, 'nor the ledger');
select throws_ok('delete from public.credit_changes', '42501', null, 'in neither table');
reset role;

-- The service
select pg_temp.speak_as('service_role');
select ok((select count(*) from public.agent_runs) >= 2, 'the service reads all runs');
select lives_ok($$ update public.credit_balances set plan_type = 'pro' where user_id = 'a0000000-0000-4000-8000-000000000001' $$, 'the service writes balances');
select lives_ok($$ insert into public.credit_usage (user_id, credits_used, operation_type) values ('a0000000-0000-4000-8000-000000000001', 0, 'image') $$, 'the service writes the ledger');
select throws_ok($$ update public.credit_balances set credits_remaining = -1 where user_id = 'a0000000-0000-4000-8000-000000000001' $$, '23514', null, 'and leaves no balance below zero');
reset role;

select * from finish();
rollback;
