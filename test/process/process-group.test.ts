import cluster from 'node:cluster'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import t from 'tap'
import { ProcessGroup } from '../../src/process/process-group.js'
import { until } from '../support/until.js'

t.test('a process that the system cannot start is tried again, later and later, and the others go on', async t => {
  const program = join(t.testdir({ 'program.cjs': 'process.send({ listening: \'http://127.0.0.1:1\' }); setInterval(() => {}, 1000)' }), 'program.cjs')
  const lines: Array<{ message: string, pauseMs?: number, err?: Error }> = []
  const note = (fields: object | string, message?: string) => { lines.push(typeof fields === 'string' ? { message: fields } : { ...fields, message: message! }) }
  cluster.setupPrimary({ exec: program, args: [], execArgv: [], silent: true })
  const group = new ProcessGroup(2, { info: note, error: note } as never)
  t.teardown(() => group.kill())
  t.equal(await group.start(), 'http://127.0.0.1:1')
  const { fork } = cluster
  let failures = 0
  t.intercept(cluster, 'fork', {
    value: () => {
      if (++failures === 1) throw new Error('spawn ENOMEM')
      if (failures > 2) return fork.call(cluster)
      // As where it has no process left to give.
      cluster.setupPrimary({ exec: program, execArgv: [], silent: true, cwd: join(dirname(program), 'nowhere') })
      try {
        return fork.call(cluster)
      } finally {
        cluster.setupPrimary({ exec: program, execArgv: [], silent: true, cwd: undefined })
      }
    }
  })
  const [one, other] = Object.values(cluster.workers!)
  const gone = once(one!, 'exit')
  one!.process.kill('SIGKILL')
  await gone
  await until(async () => lines.at(-1)?.message, message => message === 'a process has taken the place of one that had ended')
  t.match(lines.map(({ message, pauseMs }) => [message, pauseMs]), [
    ['a process ended unexpectedly: another one takes its place', 100],
    ['a process could not be started: it is tried again', 400],
    ['a process could not be started: it is tried again', 1_600],
    ['a process has taken the place of one that had ended', undefined]
  ])
  t.match(lines.map(({ err }) => err?.message), [undefined, 'spawn ENOMEM', /ENOENT/])
  t.ok(other!.isConnected())
  const ended = group.end()
  t.equal(await ended, true)
})
