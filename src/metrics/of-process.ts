import { memoryUsage } from 'node:process'
import { counter, gauge, gauges, histogram, type Metric } from './metric.js'

/** The process itself, and what it stands on. */
export const OF_PROCESS: readonly Metric[] = [
  {
    name: 'jeesi_build_info',
    help: 'What runs: 1.',
    type: 'gauge',
    labels: { version: undefined, commit: undefined },
    join: 'first',
    read: ({ build: { version, commit = '' } }) => [{ labels: { version, commit }, value: 1 }]
  },
  gauge('jeesi_processes', 'Processes whose values these are.', 'sum', () => 1),
  histogram('jeesi_event_loop_delay_seconds', 'How late turns of the event loop are.', ({ loopDelay }) => loopDelay),
  gauge('jeesi_database_up', 'Whether the database answered the last time, with a schema that fits.', 'min', ({ database }) => Number(database.wasUp)),
  histogram('jeesi_database_call_seconds', 'How long calls of the database take that are answered.', ({ database }) => database.answered),
  counter('jeesi_database_calls_unanswered_total', 'Calls of the database without an answer.', ({ database }) => database.unanswered),
  gauges('jeesi_database_pool_connections', 'Connections for the calls of users, if it is a pool.', 'state', ['used', 'idle', 'free'],
    ({ database: { pool } }) => pool && { used: pool.open - pool.idle, idle: pool.idle, free: Math.max(0, pool.max - pool.open) }),
  gauge('jeesi_database_pool_waiting', 'Calls that wait for a connection.', 'sum', ({ database }) => database.pool?.waiting),
  gauge('jeesi_redis_up', 'Whether Redis answered the last check; missing without REDIS_URL.', 'min', ({ redis }) => redis && Number(redis.isUp)),
  counter('process_cpu_seconds_total', 'Seconds of processors, of the process and the kernel for it.', () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }),
  gauge('process_resident_memory_bytes', 'Memory that is resident.', 'sum', () => memoryUsage.rss()),
  gauge('process_start_time_seconds', 'When the oldest process began, since 1970.', 'min', () => performance.timeOrigin / 1000)
]
