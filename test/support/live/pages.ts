import { ANON, LIVE_AGENTS, LIVE_SCHEDULES, LIVE_USERS, type LiveCaller, SERVICE, user } from './project.js'

/** A statement of the platform's pages or functions, as PostgREST makes it of their calls. `$fresh` is a user who signed up a moment ago. */
export interface PageQuery {
  name: string
  caller: LiveCaller | 'fresh'
  sql: string
  /** What it is answered after the migrations, where that is not what it is answered before: rows, or a SQLSTATE. */
  after?: unknown[] | string
}

const { admin, pro, lastCredit, overdrawn } = LIVE_USERS
const BALANCE = 'user_id, credits_remaining, credits_used_this_month, plan_type'

const CREDITS: PageQuery[] = [
  { name: 'the credits card', caller: user(pro), sql: `select ${BALANCE} from credit_balances where user_id = '${pro}'` },
  {
    name: 'the credits card of who was overdrawn',
    caller: user(overdrawn),
    sql: `select credits_remaining, plan_type from credit_balances where user_id = '${overdrawn}'`,
    after: [{ credits_remaining: 0, plan_type: 'team-2023' }]
  },
  { name: 'the credits card of a new user', caller: 'fresh', sql: `select ${BALANCE} from credit_balances` },
  {
    name: 'the credits card, which makes the balance of a new user',
    caller: 'fresh',
    sql: `insert into credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values ('$fresh', 5, 0, 'basic')
      returning ${BALANCE}`
  },
  {
    name: 'a user who makes a balance for another',
    caller: user(pro),
    sql: 'insert into credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values (\'$fresh\', 5, 0, \'basic\') returning user_id'
  },
  { name: 'a user who sets their own balance', caller: user(lastCredit), sql: 'update credit_balances set credits_remaining = 1000 returning credits_remaining', after: '42501' },
  { name: 'a user who deletes their own balance', caller: user(lastCredit), sql: 'delete from credit_balances returning user_id', after: '42501' },
  {
    name: 'the analytics page',
    caller: user(pro),
    sql: `select agent_id, count(*)::int as calls, sum(credits_used)::int as credits from credit_usage where user_id = '${pro}'
      and created_at >= now() - interval '30 days' group by agent_id order by agent_id`
  },
  { name: 'the agent health page', caller: user(pro), sql: `select credits_used, operation_type, metadata from credit_usage where agent_id = '${LIVE_AGENTS.heavy}' order by created_at` },
  {
    name: 'a user who enters use',
    caller: user(pro),
    sql: `insert into credit_usage (user_id, credits_used, operation_type) values ('${pro}', 1, 'agent_chat') returning credits_used`,
    after: '42501'
  },
  { name: 'a visitor who looks for balances', caller: ANON, sql: 'select user_id from credit_balances', after: '42501' },
  { name: 'a visitor who takes credits', caller: ANON, sql: `select deduct_credits('${pro}', 1)::text as done`, after: '42501' }
]

const AGENTS: PageQuery[] = [
  { name: 'the list of agents', caller: user(pro), sql: `select name, status, is_published, is_heavy, railway_url from agents where user_id = '${pro}' order by name` },
  { name: 'the agents of a workspace', caller: user(lastCredit), sql: 'select name from agents order by name' },
  { name: 'the community page', caller: ANON, sql: 'select name from agents where is_shared_to_community order by name' },
  {
    name: 'a new agent',
    caller: user(lastCredit),
    sql: `insert into agents (user_id, name, purpose, features) values ('${lastCredit}', 'New', 'To help.', '["chat"]')
      returning status, ai_model, temperature::float, max_tokens, knowledge_base, is_published, is_heavy`
  },
  {
    name: 'the settings of an agent, saved at once',
    caller: user(pro),
    sql: `update agents set name = 'Renamed', description = null, system_prompt = 'Be kind.', ai_model = 'openai/gpt-5-mini', temperature = 0.2, max_tokens = 500,
      knowledge_base = '[{"content": "Facts"}]', is_published = true, is_heavy = true, railway_url = null, updated_at = now() where id = '${LIVE_AGENTS.writer}'
      returning name, is_heavy, temperature::float`
  },
  { name: 'another\'s agent, deleted', caller: user(lastCredit), sql: `delete from agents where id = '${LIVE_AGENTS.heavy}' returning name` },
  { name: 'an agent, deleted', caller: user(pro), sql: `delete from agents where id = '${LIVE_AGENTS.heavy}' returning name` },
  { name: 'the functions of an agent', caller: user(pro), sql: `select name, function_type, config, is_enabled from agent_functions where agent_id = '${LIVE_AGENTS.heavy}'` },
  {
    name: 'a new function of an agent',
    caller: user(pro),
    sql: `insert into agent_functions (agent_id, name, function_type) values ('${LIVE_AGENTS.heavy}', 'New', 'conditional') returning trigger_keywords, config, is_enabled, execution_order`
  },
  { name: 'the list of API keys', caller: user(pro), sql: 'select key_name, key_prefix, is_active from api_keys order by created_at desc' },
  {
    name: 'a new API key',
    caller: user(lastCredit),
    sql: `insert into api_keys (user_id, key_name, key_hash, key_prefix) values ('${lastCredit}', 'Mine', 'abc', 'jsk_abc') returning is_active, last_used_at`
  },
  { name: 'an API key, switched off', caller: user(pro), sql: 'update api_keys set is_active = false returning key_name' },
  { name: 'an API key, deleted', caller: user(pro), sql: 'delete from api_keys returning key_name' },
  { name: 'a visitor who looks for API keys', caller: ANON, sql: 'select key_hash from api_keys', after: '42501' }
]

const SCHEDULES: PageQuery[] = [
  { name: 'the schedule of an agent', caller: user(pro), sql: `select is_enabled, run_count, last_result, output_config from agent_schedules where agent_id = '${LIVE_AGENTS.writer}'` },
  {
    name: 'the last firings of an agent',
    caller: user(pro),
    sql: `select status, generated_content, error_message, credits_used from scheduled_runs where agent_id = '${LIVE_AGENTS.writer}' order by created_at desc, status limit 10`
  },
  { name: 'another\'s firings', caller: user(lastCredit), sql: `select status from scheduled_runs where agent_id = '${LIVE_AGENTS.writer}'` },
  {
    name: 'a user who forges a firing',
    caller: user(lastCredit),
    sql: `insert into scheduled_runs (schedule_id, agent_id, user_id) values ('${LIVE_SCHEDULES.on}', '${LIVE_AGENTS.writer}', '${lastCredit}') returning status`,
    after: '42501'
  }
]

const OTHERS: PageQuery[] = [
  {
    name: 'the admin page',
    caller: user(admin),
    sql: 'select total_agents::int, active_users::int, pro_subscribers::int, expert_subscribers::int, total_credits_used::int from get_admin_stats()'
  },
  { name: 'the admin page of who is no admin', caller: user(pro), sql: 'select total_users from get_admin_stats()' },
  { name: 'the figures for the platform\'s functions', caller: SERVICE, sql: 'select pro_subscribers::int from get_admin_stats()', after: [{ pro_subscribers: 1 }] },
  { name: 'the list of roles', caller: user(admin), sql: 'select user_id, role from user_roles order by user_id' },
  { name: 'an admin who gives a role', caller: user(admin), sql: `insert into user_roles (user_id, role) values ('${lastCredit}', 'moderator') returning role` },
  { name: 'an admin who takes a role', caller: user(admin), sql: `delete from user_roles where user_id = '${pro}' returning role` },
  { name: 'a user who makes themselves an admin', caller: user(pro), sql: `insert into user_roles (user_id, role) values ('${pro}', 'admin') returning role` },
  { name: 'whether a user is an admin', caller: user(admin), sql: `select has_role('${admin}', 'admin')` },
  { name: 'the helper chat\'s conversations', caller: user(pro), sql: 'select title from conversations where agent_id is null order by title' },
  { name: 'the helper chat\'s messages', caller: user(pro), sql: 'select role, content from messages order by role' },
  { name: 'a new conversation', caller: user(lastCredit), sql: `insert into conversations (user_id, title) values ('${lastCredit}', 'New') returning title` },
  { name: 'a user\'s profile, where there is none', caller: user(overdrawn), sql: 'select full_name from profiles' },
  { name: 'an event of the analytics', caller: user(pro), sql: `insert into platform_analytics (user_id, event_type) values ('${pro}', 'prompt') returning event_type` }
]

/** The functions of the platform that change balances. */
const FUNCTIONS: PageQuery[] = [
  {
    name: 'check-subscription',
    caller: SERVICE,
    sql: `insert into credit_balances (user_id, credits_remaining, plan_type) values ('${pro}', 500, 'pro')
      on conflict (user_id) do update set credits_remaining = excluded.credits_remaining, plan_type = excluded.plan_type returning ${BALANCE}`
  },
  {
    name: 'a new subscription of who has no balance',
    caller: SERVICE,
    sql: `insert into credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values ('$fresh', 105, 0, 'starter')
      on conflict (user_id) do update set credits_remaining = excluded.credits_remaining returning credits_remaining, plan_type`
  },
  { name: 'a renewal', caller: SERVICE, sql: `update credit_balances set credits_remaining = 500, credits_used_this_month = 0 where user_id = '${pro}' returning ${BALANCE}` },
  { name: 'a cancelled subscription', caller: SERVICE, sql: `update credit_balances set plan_type = 'free' where user_id = '${pro}' returning plan_type` },
  { name: 'a function that takes credits', caller: SERVICE, sql: `select deduct_credits('${pro}', 2)::text as done` }
]

export const PAGE_QUERIES: PageQuery[] = [...CREDITS, ...AGENTS, ...SCHEDULES, ...OTHERS, ...FUNCTIONS]
