import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { signAccessToken } from '../auth/access-token.js'
import { ROOT } from '../config/root.js'
import { runCommand } from '../lib/command.js'

const KEY = 'jeesi_demo_key_for_local_use_only'
const USER = '11111111-1111-4111-8111-111111111111'
const MODEL_AGENT = { agentId: '22222222-2222-4222-8222-222222222222', question: 'What is this service for?' }
const PYTHON_AGENT = { agentId: '33333333-3333-4333-8333-333333333333', question: 'What is in a text?' }
/** What would join it to a deployment. A blank variable is not set, be it in `.env`, too. */
const ALONE = { SUPABASE_URL: '', SUPABASE_DB_URL: '', REDIS_URL: '', WEB_CONCURRENCY: '', MAX_CONCURRENT_RUNS: '', SCHEDULES: '', OTEL_EXPORTER_OTLP_ENDPOINT: '' }

await runCommand({
  name: 'npm run demo',
  does: 'starts the service in embedded mode, executes a demo agent as a client would, and shows what happens.',
  options: {
    python: { type: 'boolean', default: false, does: 'executes the agent that is written in Python' }
  }
}, async values => {
  const agent = values.python ? PYTHON_AGENT : MODEL_AGENT
  const dataDir = await mkdtemp(join(tmpdir(), 'jeesi-demo-'))
  const secret = randomBytes(32).toString('hex')
  process.stdout.write('Starting the service in embedded mode, with a database of its own … ')
  const service = spawn(process.execPath, [fileURLToPath(new URL('dist/server.js', ROOT))], {
    env: environment(dataDir, secret), stdio: ['ignore', 'pipe', 'inherit']
  })
  try {
    const url = await findUrl(service)
    say(`It listens at ${url}.\n`)
    await show(url, agent, await signAccessToken(secret, USER))
  } finally {
    await stop(service)
    await rm(dataDir, { recursive: true, force: true })
  }
})

async function show (url: string, agent: typeof MODEL_AGENT, session: string): Promise<void> {
  say(`Credits before: ${await creditsAt(url, session)}`)
  say(`\nPOST /api/agent/execute   "${agent.question}"\n`)
  const { creditsUsed, usage, executionTime } = await execute(url, agent)
  say(`\n\nDone in ${(executionTime / 1000).toFixed(1)} s: ${usage.totalTokens} tokens, ${creditsUsed} credit.`)
  say(`Credits after: ${await creditsAt(url, session)}\n`)
  say('Where to go next:')
  say('  npm start                          serves, and prints a curl line to paste')
  say('  npm run demo -- --python           executes an agent that is written in Python')
  say('  npm run --silent token             prints an access token for the API and for /ws')
  say('  npm run agents -- create --name Me makes an agent of your own, and prints its id')
  say('  npm run runs -- tail               shows runs as they begin and end')
  say('  AI_GATEWAY_URL=… npm start         answers with a real model (Ollama: http://localhost:11434/v1)')
  say('  README.md                          deploys it on Railway beside your Supabase project')
}

/** An API key does not read its owner's balance: this takes a session. */
async function creditsAt (url: string, session: string): Promise<number> {
  const response = await fetch(`${url}/api/credits`, { headers: { authorization: `Bearer ${session}` } })
  const { creditsRemaining } = await response.json() as { creditsRemaining: number }
  return creditsRemaining
}

interface Done { type: 'done', creditsUsed: number, executionTime: number, usage: { totalTokens: number } }
interface Step { type: 'progress', fraction?: number, message?: string }
type Event = Done | Step | { type: 'chunk', content: string } | { type: 'error', error: string }

/** Prints the answer as it arrives. */
async function execute (url: string, { agentId, question }: typeof MODEL_AGENT): Promise<Done> {
  const response = await fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': KEY },
    body: JSON.stringify({ agentId, messages: [{ role: 'user', content: question }] })
  })
  if (!response.ok || !response.body) throw new Error(`The service answered ${response.status}: ${await response.text()}`)
  for await (const line of createInterface({ input: Readable.fromWeb(response.body as never) })) {
    if (!line.startsWith('data: {')) continue
    const event = JSON.parse(line.slice('data: '.length)) as Event
    if (event.type === 'chunk') process.stdout.write(event.content)
    if (event.type === 'progress') say(`  ${Math.round((event.fraction ?? 0) * 100).toString().padStart(3)} %  ${event.message ?? ''}`)
    if (event.type === 'done') return event
    if (event.type === 'error') throw new Error(event.error)
  }
  throw new Error('The stream ended without its last event.')
}

/** The embedded mode with the built-in model, or with the gateway that the environment names; a free port. */
function environment (dataDir: string, secret: string): NodeJS.ProcessEnv {
  return { ...process.env, ...ALONE, NODE_ENV: 'development', PORT: '0', HOST: '127.0.0.1', DATA_DIR: dataDir, LOG_LEVEL: 'info', SUPABASE_JWT_SECRET: secret }
}

/** Waits until the service listens, and says what it does meanwhile. */
async function findUrl (service: ChildProcess): Promise<string> {
  const begun = performance.now()
  for await (const line of createInterface({ input: service.stdout! })) {
    if (/"message":"database: /.test(line)) say(`the database is made (${((performance.now() - begun) / 1000).toFixed(1)} s).`)
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (url) {
      service.stdout!.resume()
      return url
    }
  }
  throw new Error('The service did not start.')
}

async function stop (service: ChildProcess): Promise<void> {
  if (service.exitCode !== null) return
  service.kill('SIGTERM')
  await once(service, 'exit')
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}
