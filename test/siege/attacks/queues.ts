import { type Attack, execute, post, repeat, untilAborted } from './attack.js'

const LARGE_TEXT = 9_000_000
const ABANDONED = 30
const FAR_SCHEDULES = 300

/** One user fills the queue for all: more small runs than it takes. */
export const fullQueue: Attack = {
  async prepare (world) {
    const user = await world.createUser(1050)
    const agentId = await world.createAgent(user)
    return signal => repeat(32, signal, n => execute(world.url(n), user, agentId, `run ${n}`, signal))
  }
}

/** One user's runs wait, each with a message of 9 MB. */
export const largeInputs: Attack = {
  async prepare (world) {
    const user = await world.createUser(1050)
    const agentId = await world.createAgent(user)
    const text = 'y'.repeat(LARGE_TEXT)
    return signal => repeat(8, signal, n => execute(world.url(n), user, agentId, text, signal))
  }
}

/** Thirty runs with an image of 9 MB each, whose process has died. */
export const abandonedRuns: Attack = {
  async prepare (world) {
    const user = await world.createUser(1000)
    const agentId = await world.createAgent(user)
    return async signal => {
      await world.query(`with runs as (
          insert into public.agent_runs (user_id, agent_id, status, request_hash, credits_reserved, is_charged, started_at, owner, lease_until)
            select $1, $2, 'running', n::text, 0, false, now(), gen_random_uuid(), now() - interval '1 hour' from generate_series(1, $3) n
            returning id)
        insert into public.agent_run_inputs (run_id, bytes, input)
          select id, length($4::text), jsonb_build_object('agent', jsonb_build_object('name', 'Siege'), 'messages', jsonb_build_array(jsonb_build_object('role', 'user',
            'content', jsonb_build_array(jsonb_build_object('type', 'image_url', 'image_url', jsonb_build_object('url', $4::text)))))) from runs`,
      [user.id, agentId, ABANDONED, `data:image/png;base64,${'A'.repeat(LARGE_TEXT)}`])
      await untilAborted(signal)
      const [{ left }] = await world.query('select count(*)::int as left from public.agent_runs where user_id = $1 and finished_at is null', [user.id])
      if (left > 0) throw new Error(`${left} of ${ABANDONED} abandoned runs were not taken over`)
    }
  }
}

/** Schedules that are far off, due all the time without credits, and one whose template cannot be read; another user's goes on. */
export const schedules: Attack = {
  async prepare (world) {
    const user = await world.createUser(0)
    const other = await world.createUser(1000)
    const agentId = await world.createAgent(user)
    const otherAgent = await world.createAgent(other)
    return async signal => {
      await world.query(`insert into public.agent_schedules (agent_id, user_id, is_enabled, cron_expression, timezone)
        select $1, $2, true, '0 0 29 2 ' || n % 7, 'America/Argentina/ComodRivadavia' from generate_series(1, $3) n`, [agentId, user.id, FAR_SCHEDULES])
      await world.query(`insert into public.agent_schedules (agent_id, user_id, is_enabled, cron_expression)
        select $1, $2, true, '* * * * *' from generate_series(1, $3)`, [agentId, user.id, FAR_SCHEDULES])
      await world.query(`insert into public.agent_schedules (agent_id, user_id, is_enabled, cron_expression, output_action, output_config, next_run_at)
        select $1, $2, true, '* * * * *', 'webhook', ('{"body_template":' || repeat('[', 5000) || repeat(']', 5000) || '}')::jsonb, now() from generate_series(1, 3)`, [agentId, user.id])
      const [{ id }] = await world.query(`insert into public.agent_schedules (agent_id, user_id, is_enabled, cron_expression, next_run_at)
        values ($1, $2, true, '0 0 1 1 *', now()) returning id`, [otherAgent, other.id])
      await untilAborted(signal)
      const [{ fired }] = await world.query('select count(*)::int as fired from public.scheduled_runs where schedule_id = $1 and run_id is not null', [id])
      if (fired !== 1) throw new Error(`the schedule of another user was fired ${fired} times`)
    }
  }
}

/** A user with a hundred answers of 1 MB lists them again and again. */
export const largeLists: Attack = {
  async prepare (world) {
    const user = await world.createUser(0)
    const agentId = await world.createAgent(user)
    await world.query(`insert into public.agent_runs (user_id, agent_id, status, request_hash, response, credits_reserved, is_charged, started_at, finished_at)
      select $1, $2, 'succeeded', n::text, repeat('z', 1200000), 0, false, now(), now() from generate_series(1, 100) n`, [user.id, agentId])
    return signal => repeat(8, signal, n => post(`${world.url(n)}/api/runs?limit=100`, { authorization: `Bearer ${user.token}` }, undefined, signal, 'GET'))
  }
}
