/**
 * The rooms of the house, from the ground floor up, and which rooms each may import from. `npm run check` holds the
 * imports to this table, and docs/design.md has its picture. A room is a folder or a file; of two that fit, the longer one
 * counts.
 * @type {Array<{ path: string, may: string[], fastify?: true }>}
 */
export const ROOMS = [
  { path: 'supabase/functions/_shared', may: [] },
  { path: 'supabase/functions/agent-runtime', may: ['supabase/functions/_shared'] },
  { path: 'src/lib', may: [] },
  { path: 'src/shutdown.ts', may: [] },
  { path: 'src/contract', may: ['supabase/functions/_shared'] },
  { path: 'src/config', may: ['supabase/functions/_shared'] },
  { path: 'src/database', may: ['supabase/functions/_shared', 'src/contract', 'src/config', 'src/lib'] },
  { path: 'src/executor/events', may: ['supabase/functions/_shared', 'src/lib'] },
  { path: 'src/executor/gateway', may: ['supabase/functions/_shared', 'src/lib'] },
  { path: 'src/executor/python', may: ['supabase/functions/_shared', 'src/config', 'src/lib'] },
  { path: 'src/executor/tools', may: ['supabase/functions/_shared', 'src/config', 'src/lib', 'src/executor/python'] },
  {
    path: 'src/executor/agent',
    may: ['supabase/functions/_shared', 'src/lib', 'src/executor/events', 'src/executor/gateway', 'src/executor/python', 'src/executor/tools']
  },
  {
    path: 'src/executor/run',
    may: ['supabase/functions/_shared', 'src/lib', 'src/database', 'src/executor/agent', 'src/executor/events', 'src/executor/tools']
  },
  { path: 'src/redis', may: ['supabase/functions/_shared', 'src/config', 'src/lib', 'src/executor/events', 'src/executor/run'] },
  { path: 'src/schedules', may: ['supabase/functions/_shared', 'src/lib', 'src/database', 'src/executor/tools', 'src/redis'] },
  { path: 'src/auth', may: ['supabase/functions/_shared', 'src/contract', 'src/config', 'src/lib', 'src/database'] },
  { path: 'src/administration', may: ['supabase/functions/_shared', 'src/contract', 'src/database'] },
  { path: 'src/chats', may: ['supabase/functions/_shared', 'src/contract', 'src/database'] },
  { path: 'src/demo', may: [] },
  { path: 'src/client', may: [] },
  { path: 'src/widget', may: ['src/client'] },
  { path: 'src/console', may: ['supabase/functions/_shared', 'src/client'] },
  {
    path: 'src/http',
    may: ['supabase/functions/_shared', 'src/shutdown.ts', 'src/contract', 'src/lib', 'src/executor/events', 'src/executor/run'],
    fastify: true
  },
  {
    path: 'src/metrics',
    may: [
      'supabase/functions/_shared', 'src/lib', 'src/database', 'src/executor', 'src/redis', 'src/schedules', 'src/http'
    ]
  },
  {
    path: 'src/plugins',
    may: [
      'supabase/functions/_shared', 'src/shutdown.ts', 'src/contract', 'src/config', 'src/lib', 'src/database', 'src/executor', 'src/redis',
      'src/schedules', 'src/auth', 'src/administration', 'src/chats', 'src/demo', 'src/http', 'src/metrics'
    ],
    fastify: true
  },
  { path: 'src/routes', may: ['supabase/functions/_shared', 'src/contract', 'src/config', 'src/http'], fastify: true },
  { path: 'src/app.ts', may: ['supabase/functions/_shared', 'src/config', 'src/http', 'src/plugins', 'src/routes'], fastify: true },
  { path: 'src/process', may: ['src/app.ts', 'src/shutdown.ts', 'src/config', 'src/lib', 'src/database', 'src/redis', 'src/metrics'], fastify: true },
  { path: 'src/cli', may: ['supabase/functions/_shared', 'src/contract', 'src/config', 'src/lib', 'src/database', 'src/auth', 'src/administration', 'src/redis', 'src/executor/python'] }
]

/** Packages that only rooms with `fastify` may import. */
export const FASTIFY = /^(fastify|fastify-plugin|@fastify\/.+)$/

/** Limits, in lines and files. */
export const LIMITS = { file: 250, function: 60, plugin: 80, folder: 15, plugins: 25 }

/**
 * The room of a file.
 * @param {string} file its path from the project's folder.
 */
export function roomOf (file) {
  return ROOMS
    .filter(({ path }) => file === path || file.startsWith(`${path}/`))
    .reduce((longest, room) => !longest || room.path.length > longest.path.length ? room : longest, undefined)
}

/**
 * Whether files of a room may import a file.
 * @param {{ path: string, may: string[] }} room
 * @param {string} file
 */
export function mayImport (room, file) {
  return [room.path, ...room.may].some(path => file === path || file.startsWith(`${path}/`))
}
