import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { renderChart } from '../../bench/chart.js'
import { DOCUMENTS, fillIn, renderParts } from '../../bench/document.js'
import { publish, readPublished, render } from '../../bench/publish.js'
import { merge, resultOf, type Report, type Result } from '../../bench/result.js'
import { COST_NAMES, COSTS, LOADS, SCALED, SCALED_NAMES, type CostName, type Look, type Scaled } from '../../bench/scaled/metrics.js'
import { FULL, replicasThatFillDatabase, replicasThatFillRedis, simulate } from '../../bench/scaled/simulate.js'
import { renderScaled } from '../../bench/scaled/table.js'
import { summarize, type Figure } from '../../bench/stats.js'
import type { Outcome } from '../../bench/trial.js'
import { judgeTargets } from '../../bench/targets.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

t.test('the documents say what docs/bench.json has, and the chart draws it', async t => {
  const report = await readPublished()
  const parts = renderParts(report)
  for (const path of DOCUMENTS) {
    const text = await readFile(`${ROOT}/${path}`, 'utf8')
    t.equal(text, fillIn(text, parts), path)
    t.match(text, /<!-- bench: /)
  }
  t.equal(await readFile(`${ROOT}/docs/bench.json`, 'utf8'), render(report))
  t.equal(await readFile(`${ROOT}/docs/bench.svg`, 'utf8'), renderChart(report.results[0]!))
})

t.test('every figure of docs/bench.json was taken as often as it says', async t => {
  const { results, scaled } = await readPublished()
  for (const { looks, metrics, ratios, growth } of results) {
    const figures = [metrics, ratios, growth].flatMap(table => Object.values(table)).flatMap(row => Object.values(row))
    t.same(figures.filter(({ runs }) => runs < looks), [])
    t.ok(figures.length > 0)
  }
  if (scaled) t.same([...Object.values(scaled.figures), ...Object.values(scaled.costs)].filter(({ runs }) => runs < scaled.looks), [])
})

t.test('what is published takes the place of what was measured by the same version, and leaves the rest', async t => {
  const root = await copyDocuments(t)
  const before = await readPublished(root)
  const result: Result = { ...before.results[0]!, machine: { ...before.results[0]!.machine, node: 'v24.1.0' }, looks: 3, commit: 'newer' }
  await publish({ results: [result] }, root)
  await publish({ results: [], scaled: SCALED_REPORT }, root)
  const after = await readPublished(root)
  t.same(after.results.map(({ machine }) => machine.node), ['v24.1.0', 'v20.20.2'])
  t.equal(resultOf(after, 'v24.9.9')?.commit, 'newer')
  t.same(after.scaled, SCALED_REPORT)
  t.match(await readFile(`${root}/docs/explanation/performance.md`, 'utf8'), /Commit newer.*\n[^]*\| {2}\| Node 24 \| Node 24, pipe \| Node 20 \|/)
  t.match(await readFile(`${root}/docs/explanation/scaling.md`, 'utf8'), /Redis is full from 7 replicas on/)
  t.same(merge(after, { results: [resultOf(before, 'v20.0.0')!] }), after)
})

t.test('a figure of fewer than three looks is not published', async t => {
  const root = await copyDocuments(t)
  const { results } = await readPublished(root)
  await t.rejects(publish({ results: [{ ...results[0]!, looks: 2 }] }, root), /three|3 looks/)
  t.equal(await readFile(`${root}/docs/bench.json`, 'utf8'), await readFile(`${ROOT}/docs/bench.json`, 'utf8'))
})

t.test('a mark in a document that no part is for is an error', async t => {
  t.equal(fillIn('a\n<!-- bench: x -->\nold\n<!-- /bench -->\nb', { x: 'new' }), 'a\n<!-- bench: x -->\nnew\n<!-- /bench -->\nb')
  t.throws(() => fillIn('<!-- bench: y -->\n<!-- /bench -->', { x: 'new' }), /no part y; there is x/)
})

t.test('a target is reached if the median keeps to it, and left out if nothing was measured', async t => {
  const ratios = { cpu_per_mtok_burst8_200: { pipe: summarize([1.3, 1.39, 9]) }, mb_slow_5000: { pipe: summarize([1.01]) } }
  t.match(judgeTargets({ metrics: { runs_per_second: { ours: summarize([999]) } }, ratios, growth: {} }), [
    { of: 'over pipe', aim: 'at most 1.4', isReached: true },
    { title: 'MB the process takes meanwhile', isReached: false },
    { title: 'answers of one token a second', aim: 'at least 1000', isReached: false }
  ])
})

t.test('the figures of several processes are ratios to one without Redis in the same round', async t => {
  const value = (name: keyof typeof SCALED) => SCALED[name].of(LOOK)
  t.equal(value('redis_rate_saturated'), 0.5)
  t.equal(value('redis_cpu_saturated'), 2)
  t.equal(value('remote_cpu_full'), 3)
  t.equal(value('four_cpu'), 5)
  t.equal(value('redis_first_token_ms'), 1)
  t.equal(value('remote_redis_full'), 30)
  t.equal(Number(value('remote_pace').toFixed(3)), 0.5)
  t.match(renderScaled(SCALED_REPORT), /Four processes on one core: the same +1 \(1 to 1\) +at most 1.25 +reached/)
})

t.test('a token\'s cost is without its run\'s share, and never below nothing', async t => {
  // Of answers of 100 tokens, a token cost 0.2 ms at both processes, and a run 2 ms, which is 0.02 of it.
  t.equal(Number(COSTS.token_process_ms.of(LOOK).toFixed(6)), 0.18)
  t.equal(COSTS.token_redis_ms.of({ ...LOOK, runs: { ...LOOK.runs, outcomes: { ...LOOK.runs.outcomes, redis: outcome({ redisMs: 1e9 }) } } }), 0)
})

t.test('the simulation of replicas', async t => {
  t.test('lets them carry what their cores do, until Redis is full', async t => {
    const service = { tokens: 100, remote: 0 }
    const one = simulate(COST, { ...service, replicas: 1 })
    // A run of 1 ms and 100 tokens of 0.04: 5 ms; 700 ms of a core carry 140.
    t.match(one, { answersPerSecond: 140, tokensPerSecond: 14_000, fullest: 'processes' })
    t.equal(Number(one.processes.toFixed(6)), FULL)
    t.equal(simulate(COST, { ...service, replicas: 2 }).answersPerSecond, 280)
    // Redis has 1 ms for each answer: 700 at the most, which are those of five replicas.
    t.equal(replicasThatFillRedis(COST, service), 5)
    t.match(simulate(COST, { ...service, replicas: 50 }), { answersPerSecond: 700, fullest: 'redis' })
    t.equal(Number(simulate(COST, { ...service, replicas: 50 }).redis.toFixed(6)), FULL)
  })

  t.test('says how many cores of PostgreSQL they need, and from when on those that it has are full', async t => {
    const service = { tokens: 100, remote: 0 }
    t.equal(Number(simulate(COST, { ...service, replicas: 2 }).database.toFixed(6)), 0.56)
    // 140 answers of 2 ms are 0.28 of a core for each replica; ten replicas need four cores at 70 %.
    t.equal(Number(replicasThatFillDatabase(COST, service, 4).toFixed(6)), 10)
  })

  t.test('takes what is read elsewhere by its own cost, and what processes cost without work', async t => {
    const far = simulate(COST, { tokens: 100, remote: 1, replicas: 1 })
    t.equal(far.answersPerSecond, 70)
    t.equal(simulate(COST, { tokens: 100, remote: 0.5, replicas: 1 }).answersPerSecond, 700 / 7.5)
    t.equal(simulate({ ...COST, idle_process_ms: 350 }, { tokens: 100, remote: 0, replicas: 1 }).answersPerSecond, 70)
    t.equal(replicasThatFillRedis({ ...COST, run_redis_ms: 0, token_redis_ms: 0 }, { tokens: 100, remote: 0 }), Infinity)
  })
})

const COST: Record<CostName, number> = {
  run_process_ms: 1,
  run_redis_ms: 0.5,
  run_database_ms: 2,
  remote_run_process_ms: 2,
  remote_run_redis_ms: 1,
  remote_run_database_ms: 4,
  token_process_ms: 0.04,
  token_redis_ms: 0.005,
  remote_token_process_ms: 0.08,
  remote_token_redis_ms: 0.01,
  idle_process_ms: 0,
  idle_redis_ms: 0,
  idle_database_ms: 0
}

const SCALED_REPORT: Scaled = {
  machine: { cpu: 'Some CPU', cores: 2, memoryGb: 8, kernel: '6.1', node: 'v24.1.0' },
  when: '2026-11-30T12:00:00.000Z',
  commit: 'abc1234',
  looks: 3,
  figures: Object.fromEntries(SCALED_NAMES.map(name => [name, summarize([1, 1, 1])])) as Record<keyof typeof SCALED, Figure>,
  costs: Object.fromEntries(COST_NAMES.map(name => [name, summarize([COST[name], COST[name], COST[name]])])) as Record<CostName, Figure>,
  remarks: []
}

function outcome ({ serverMs = 200, redisMs = 0, ms = 1000, p50Us = 5000 }): Outcome {
  return {
    ms,
    tokens: 1000,
    streams: 100,
    refused: 0,
    errors: 0,
    open: 0,
    streaming: 0,
    cpuMs: 0,
    first: { count: 1, p50Us, p99Us: p50Us },
    serverMs,
    gatewayMs: 0,
    loadMs: 0,
    stores: { redisMs, databaseMs: 0 }
  }
}

/** A round in which each fleet costs and takes a known part of what one process without Redis does. */
const LOOK = {
  ...Object.fromEntries(Object.keys(LOADS).map(load => [load, {
    // A thousand tokens a second, if they came in time: 2,000 streams would be needed.
    shape: { tokens: 100, delayMs: 20, firstMs: 0, burst: 1, connections: 20, warmMs: 0, windowMs: 0 },
    outcomes: {
      alone: outcome({ serverMs: 100 }),
      redis: outcome({ ms: 2000, p50Us: 6000 }),
      remote: outcome({ serverMs: 300, redisMs: 30, ms: 2000 }),
      two: outcome({ serverMs: 400 }),
      four: outcome({ serverMs: 500 })
    }
  }])),
  idle: { processMs: 1, redisMs: 1, databaseMs: 1 }
} as unknown as Look

async function copyDocuments (t: Test): Promise<string> {
  const root = t.testdir()
  await mkdir(`${root}/docs/explanation`, { recursive: true })
  for (const path of ['docs/bench.json', ...DOCUMENTS]) await cp(`${ROOT}/${path}`, `${root}/${path}`)
  const { results }: Report = JSON.parse(await readFile(`${root}/docs/bench.json`, 'utf8'))
  t.ok(results.length > 0)
  await writeFile(`${root}/docs/bench.svg`, '')
  return root
}
