import { setTimeout as delay } from 'node:timers/promises'
import { oneTokenShape } from '../experiments/runs.js'
import { fullShape, pacedShape, saturatedShape } from '../experiments/tokens.js'
import type { Lab } from '../lab.js'
import { readCommit, readMachine } from '../machine.js'
import { round, summarize, type Figure } from '../stats.js'
import { perMillion, runTrial, spentBy, withServer, type Outcome, type Shape } from '../trial.js'
import { fleet, processesOf, type Fleet } from './fleet.js'
import { COSTS, LOADS, SCALED, type LoadName, type Look, type Scaled, type Trial } from './metrics.js'

/** Processes that have nothing to do, and how long they are watched. */
const IDLE = { processes: 4, settleMs: 5000, windowMs: 10_000, quickMs: 4000 }

/** Measures several processes beside Redis as ratios to one process without it, all in turn within each round. */
export async function measureScaled (lab: Lab, looks: number): Promise<Scaled> {
  const taken: Look[] = []
  while (taken.length < looks) taken.push(await look(lab, taken.length + 1))
  return {
    machine: readMachine(lab.node),
    when: new Date().toISOString(),
    commit: readCommit(),
    looks,
    figures: summarizeEach(SCALED, taken),
    costs: summarizeEach(COSTS, taken),
    remarks: [...lab.remarks.values()]
  }
}

function summarizeEach<Name extends string> (table: Record<Name, { of (look: Look): number }>, looks: Look[]): Record<Name, Figure> {
  const entries = Object.entries(table) as Array<[Name, { of (look: Look): number }]>
  return Object.fromEntries(entries.map(([name, { of }]) => [name, summarize(looks.map(of))])) as Record<Name, Figure>
}

async function look (lab: Lab, number: number): Promise<Look> {
  const trials = {} as Record<LoadName, Trial>
  for (const load of Object.keys(LOADS) as LoadName[]) trials[load] = await compareFleets(lab, load, number)
  return { ...trials, idle: await measureIdle(lab, number) }
}

/** The order turns from round to round, so that a machine that gets slower or faster favours nobody. */
async function compareFleets (lab: Lab, load: LoadName, number: number): Promise<Trial> {
  const outcomes: Partial<Record<Fleet, Outcome>> = {}
  for (const name of number % 2 ? LOADS[load] : LOADS[load].toReversed()) {
    const outcome = await runTrial(lab, fleet(name), shapes[load](lab, processesOf(name)))
    outcomes[name] = outcome
    lab.log(`${number} ${load} ${name}: ${describe(outcome)}`)
  }
  return { shape: shapes[load](lab, 1), outcomes: outcomes as Record<Fleet, Outcome> }
}

function describe ({ tokens, ms, serverMs, stores, first, streams }: Outcome): string {
  return Object.entries({
    'tokens/s': tokens * 1000 / ms,
    'runs/s': streams * 1000 / ms,
    'part of its core': serverMs / ms,
    'processor s per million': perMillion(serverMs, tokens),
    'of Redis': perMillion(stores!.redisMs, tokens),
    'of PostgreSQL': perMillion(stores!.databaseMs, tokens),
    'first token, ms': first.p50Us / 1000
  }).map(([what, value]) => `${what} ${round(value)}`).join(', ')
}

const shapes: Record<LoadName, (lab: Lab, processes: number) => Shape> = {
  saturated: lab => saturatedShape(lab, 1),
  burst8: lab => saturatedShape(lab, 8),
  full: fullShape,
  paced500: lab => pacedShape(lab, 500),
  runs: lab => oneTokenShape(lab, 64)
}

async function measureIdle (lab: Lab, number: number): Promise<Look['idle']> {
  return withServer(lab, fleet('four'), async server => {
    await delay(IDLE.settleMs)
    const spent = async () => ({ processMs: await spentBy(server), ...await server.readStores!() })
    const before = await spent()
    const windowMs = lab.quick ? IDLE.quickMs : IDLE.windowMs
    await delay(windowMs)
    const after = await spent()
    const perSecond = (name: keyof Look['idle']) => (after[name] - before[name]) / IDLE.processes / windowMs * 1000
    const idle = { processMs: perSecond('processMs'), redisMs: perSecond('redisMs'), databaseMs: perSecond('databaseMs') }
    lab.log(`${number} without work: ms a process and second ${Object.values(idle).map(round).join(', ')} of itself, Redis and PostgreSQL`)
    return idle
  })
}
