-- Adds the demo rows, for the embedded mode, `npm run migrate -- --seed` and `supabase db reset`. Rows that exist stay as
-- they are.

insert into auth.users (id, instance_id, aud, role, email, encrypted_password, email_confirmed_at, created_at, updated_at)
select id::uuid, '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated', email,
    -- bcrypt of 'demo-password'
    '$2a$10$H7k3lN3TsIlanCxMMz02fe5eT6fUgb5cpV3/fbbVN0VKHCpSbfD.O', now(), now(), now()
  from (values
    ('11111111-1111-4111-8111-111111111111', 'demo@jeesi.local'),
    ('11111111-1111-4111-8111-222222222222', 'other@jeesi.local')) as u (id, email)
  on conflict do nothing;

insert into public.credit_balances (user_id, credits_remaining, plan_type)
values
  ('11111111-1111-4111-8111-111111111111', 100, 'demo'),
  ('11111111-1111-4111-8111-222222222222', 3, 'demo')
on conflict (user_id) do nothing;

insert into public.user_roles (user_id, role)
select '11111111-1111-4111-8111-111111111111', 'admin'
  where not exists (select from public.user_roles
    where user_id = '11111111-1111-4111-8111-111111111111' and role = 'admin');

-- Without a model, a temperature and a limit of tokens, so that the service's own defaults apply.
insert into public.agents (id, user_id, name, description, purpose, status, system_prompt, is_published, is_heavy, executor, entrypoint,
  ai_model, temperature, max_tokens, knowledge_base)
values
  ('22222222-2222-4222-8222-222222222222', '11111111-1111-4111-8111-111111111111', 'Demo agent',
    'Answers with a language model.', 'To try the service with.', 'active',
    'You are the demo agent of the jeesi platform. Answer briefly and kindly.', true, true, 'model', null,
    null, null, null, null),
  ('33333333-3333-4333-8333-333333333333', '11111111-1111-4111-8111-111111111111', 'Python demo agent',
    'Works through a text file and reports on it.', 'To try agents that are Python with.', 'active',
    null, true, true, 'python', 'examples.text_statistics:run',
    null, null, null, null),
  ('44444444-4444-4444-8444-444444444444', '11111111-1111-4111-8111-111111111111', 'Unpublished agent',
    'Only its owner can run it.', 'To try who may run what.', 'draft',
    'You are an agent that only its owner can run.', false, true, 'model', null,
    null, null, null, null)
on conflict (id) do nothing;

-- The key itself is jeesi_demo_key_for_local_use_only; the database stores only the SHA-256 of a key.
insert into public.api_keys (user_id, key_name, key_hash, key_prefix)
select '11111111-1111-4111-8111-111111111111', 'Demo key',
    '8f7aa60aebb30ce3d7db97400e7eb1a4dd1db9fc14d06d0af03c24279e5cf4e4', 'jeesi_demo'
  where not exists (select from public.api_keys
    where key_hash = '8f7aa60aebb30ce3d7db97400e7eb1a4dd1db9fc14d06d0af03c24279e5cf4e4');
