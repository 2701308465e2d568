import { setTimeout as delay } from 'node:timers/promises'
import type { RunStatus } from '#shared/schemas.ts'
import type { AdminRun } from '../../contract/schemas.js'
import type { Backend, RunLine } from './backend.js'
import { PAGE, readPage } from './common.js'
import { SERVICE, withBackend } from './open.js'
import { linesOf, printable, tableOf } from './output.js'
import { print, readId, type Subject, UsageError, verb } from './subcommands.js'

const STATUSES = ['queued', 'running', 'succeeded', 'failed', 'cancelled']
/** Milliseconds between two looks for new runs. */
const LOOK_MS = 1000

/** The commands for runs. */
export const runs: Subject = {
  does: 'lists, shows, follows and cancels runs.',
  verbs: {
    list: verb({
      does: 'lists runs, newest first',
      options: {
        user: { type: 'string', value: '<id>', does: 'only this user\'s' },
        agent: { type: 'string', value: '<id>', does: 'only this agent\'s' },
        status: { type: 'string', value: '<status>', does: `only these: ${STATUSES.join(', ')}` },
        ...PAGE,
        ...SERVICE
      },
      async run ({ values }) {
        if (values.status !== undefined && !STATUSES.includes(values.status)) throw new UsageError(`--status takes one of ${STATUSES.join(', ')}`)
        const filter = {
          ...readPage(values),
          userId: values.user && readId('--user', values.user),
          agentId: values.agent && readId('--agent', values.agent),
          status: values.status as RunStatus | undefined
        }
        const page = await withBackend(values.service, backend => backend.runs(filter))
        if (values.json) return print(JSON.stringify(page))
        print(tableOf(page.runs.map(({ runId, status, attempt, createdAt, agentId, userId, creditsCharged, error, reason }) => ({
          run: runId, status, attempt, created: createdAt, agent: agentId, user: userId, credits: creditsCharged, why: reason ?? error?.message
        })), 'There are no such runs.'))
        if (page.nextCursor) print(`… and more: --cursor ${page.nextCursor}`)
      }
    }),
    show: verb({
      takes: '<id>',
      does: 'shows a run with its steps, and why it failed',
      options: SERVICE,
      async run ({ values, taken: [id] }) {
        const run = await withBackend(values.service, backend => backend.run(readId('<id>', id!)))
        if (values.json) return print(JSON.stringify(run))
        const { runId, status, steps, failures, response, ...rest } = run
        print(linesOf({ runId, status, ...rest, response }))
        for (const { step, kind, name, attempt, finishReason, finishedAt } of steps) {
          print(`step ${step}  ${[kind, name && printable(name), finishReason, `attempt ${attempt}`, finishedAt].filter(Boolean).join(', ')}`)
        }
        for (const failure of failures) print(`failure  ${printable(JSON.stringify(failure))}`)
      }
    }),
    cancel: verb({
      takes: '<id>',
      does: 'ends a run, as its user can; what it has used is charged',
      options: SERVICE,
      async run ({ values, taken: [id] }) {
        const run = await withBackend(values.service, backend => backend.cancelRun(readId('<id>', id!)))
        print(values.json ? JSON.stringify(run) : run.finishedAt ? `the run ${run.status === 'cancelled' ? 'is' : 'had ended:'} ${run.status}` : 'the run will end within seconds')
      }
    }),
    tail: verb({
      takes: '[id]',
      does: 'prints what happens until Ctrl-C: runs as they begin and end, or the events of one run until it ends',
      options: SERVICE,
      async run ({ values, taken: [id] }) {
        const end = new AbortController()
        process.once('SIGINT', () => end.abort())
        process.once('SIGTERM', () => end.abort())
        // `| head` has closed the pipe.
        process.stdout.once('error', () => end.abort())
        const runId = id === undefined ? undefined : readId('[id]', id)
        await withBackend(values.service, backend => runId === undefined ? tailAll(backend, values.json, end.signal) : tailRun(backend, runId, values.json, end.signal))
      }
    })
  }
}

async function tailAll (backend: Backend, isJson: boolean, signal: AbortSignal): Promise<void> {
  let { until } = await backend.watchRuns()
  let told = new Map<string, string>()
  process.stderr.write('waiting for runs; Ctrl-C ends this\n')
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const next = await backend.watchRuns(until)
    // A run comes twice at the seam of two looks.
    const seen = new Map<string, string>()
    for (const run of next.runs) {
      const state = `${run.status} ${run.attempt}`
      if (told.get(run.runId) !== state) print(isJson ? JSON.stringify(run) : lineOf(run))
      seen.set(run.runId, state)
    }
    if (next.until === until && next.runs.length > 0) throw new Error('more runs change at once than can be told')
    told = new Map([...told, ...seen].slice(-1000))
    until = next.until
  }
}

function lineOf ({ runId, status, attempt, agentId, userId, createdAt, startedAt, finishedAt, creditsCharged, error, reason }: AdminRun): string {
  const ended = finishedAt === null ? [] : [`${((Date.parse(finishedAt) - Date.parse(startedAt ?? createdAt)) / 1000).toFixed(1)} s`, `${creditsCharged} credits`, printable(reason ?? error?.message ?? '')]
  return [finishedAt ?? startedAt ?? createdAt, runId, status.padEnd(9), `agent ${agentId}`, `user ${userId}`, attempt > 1 && `attempt ${attempt}`, ...ended].filter(Boolean).join('  ')
}

async function tailRun (backend: Backend, runId: string, isJson: boolean, signal: AbortSignal): Promise<void> {
  let isInText = false
  for await (const event of backend.follow(runId, signal)) {
    if (isJson) {
      print(JSON.stringify(event))
    } else if (event.type === 'chunk') {
      process.stdout.write(printable(String(event.content)))
      isInText = true
    } else {
      print(`${isInText ? '\n' : ''}${describe(event)}`)
      isInText = false
    }
  }
}

/** An event in a line, without the text that has come already. */
function describe ({ type, response, ...fields }: RunLine): string {
  const set = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return printable([`[${type}]`, ...set.map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)].join(' ').replace(/\s+/g, ' '))
}
