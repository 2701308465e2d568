import { mkdir } from 'node:fs/promises'
import { readOptions } from '../../src/lib/command.js'
import { startRedis } from '../support/doubles/redis-server.js'
import { type AttackName, ATTACKS } from './attacks/index.js'
import { besiege } from './siege.js'

const DEFAULT_URL = 'postgres://postgres@127.0.0.1:5432/postgres'

const values = readOptions({
  name: 'npm run siege',
  does: 'attacks the service, with default limits and a heap of 512 MB, while ten honest users run agents, and prints what they felt.',
  options: {
    replicas: { type: 'string', default: '1', value: '<n>', does: 'processes; several share a Redis that is started for this' },
    url: { type: 'string', default: DEFAULT_URL, value: '<postgres url>', does: 'a server on which a database may be made' },
    seconds: { type: 'string', default: '20', value: '<n>', does: 'how long each attack lasts' },
    only: { type: 'string', value: '<attack,…>', does: `nothing but these: ${Object.keys(ATTACKS).join(', ')}` },
    logs: { type: 'string', value: '<directory>', does: "where the processes' logs are kept" }
  }
})

const tasks: Array<() => unknown> = []
if (values.logs) await mkdir(values.logs, { recursive: true })
const replicas = Number(values.replicas)
const redis = replicas > 1 ? await startRedis({ teardown (task) { tasks.unshift(task) } }) : undefined
try {
  const verdicts = await besiege({
    server: values.url,
    replicas,
    redisUrl: redis?.url,
    only: values.only?.split(',') as AttackName[] | undefined,
    lasting: Number(values.seconds) * 1000,
    isCalm: true,
    logs: values.logs,
    say: line => { process.stdout.write(`${line}\n`) }
  })
  process.exitCode = verdicts.every(({ faults }) => faults.length === 0) ? 0 : 1
} finally {
  for (const task of tasks) await task()
}
