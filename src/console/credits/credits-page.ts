import { BarChart, type Point, StepChart } from '../base/chart.js'
import { countText, dateText, dayText, numberText, whenText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Badge, Empty, Failure, Head, Loading, Notice } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import { addressOf } from '../base/router.js'
import type { Api } from '../session/api.js'
import type { PageProps } from '../page-props.js'

export interface Credits { creditsRemaining: number, creditsReserved: number, creditsUsedThisMonth: number, planType: string }
export interface Entry { id: string, runId: string | null, agentId: string | null, creditsUsed: number, operationType: string, createdAt: string | null, metadata?: { reason?: string } | null }
export interface Ledger { credits: Credits, entries: Entry[], nextCursor: string | null }

const PAGE = 25
/** Pages of the ledger that the chart is drawn from, each of 100 entries. */
const CHART_PAGES = 3
const DAY_MS = 86_400_000
const DAYS = 30

/** The user's balance, how it came to be, and each entry of the ledger. */
export function CreditsPage ({ session }: PageProps): VNode {
  const whole = useLoad(() => loadChart(session.api, '/api/credits/ledger'), [session])
  return html`<${Head} title="Credits" sub="What you can spend, and what changed it." />
    <${Failure} error=${whole.error} onRetry=${whole.reload} />
    ${!whole.data ? !whole.error && html`<${Loading} />` : html`<${Balance} ledger=${whole.data} /><${Entries} api=${session.api} path="/api/credits/ledger" />`}`
}

/** The newest entries, as many as the chart needs. */
export async function loadChart (api: Api, path: string): Promise<Ledger> {
  const whole = await api.get<Ledger>(path, { limit: 100 })
  for (let page = 1; page < CHART_PAGES && whole.nextCursor; page++) {
    const next = await api.get<Ledger>(path, { limit: 100, cursor: whole.nextCursor })
    whole.entries.push(...next.entries)
    whole.nextCursor = next.nextCursor
  }
  return whole
}

/** A balance with its charts. */
export function Balance ({ ledger }: { ledger: Ledger }): VNode {
  const { creditsRemaining, creditsReserved, creditsUsedThisMonth, planType } = ledger.credits
  const points = pointsOf(ledger)
  const bars = barsOf(ledger.entries)
  const used = bars.reduce((sum, { value }) => sum + value, 0)
  return html`${creditsRemaining === 0 && html`<${Notice} tone="warn">There are no credits left. Runs are refused until you get some.<//>`}
    <dl class="figures"><${Figure} name="To spend" value=${creditsRemaining} /><${Figure} name="Held by runs" value=${creditsReserved} />
      <${Figure} name="Used this month" value=${creditsUsedThisMonth} /><div class="figure"><dt>Plan</dt><dd class="word">${planType}</dd></div></dl>
    ${points.length > 1 && html`<section class="card"><div class="chart-title"><h2>Balance</h2><small>${dayText(new Date(points[0]!.at).toISOString())} – today, at most ${numberText(Math.max(...points.map(({ value }) => value)))}</small></div>
      <${StepChart} points=${points} label=${`Balance over time: ${countText(points.at(-1)!.value, 'credit')} now`} /></section>`}
    ${used > 0 && html`<section class="card"><div class="chart-title"><h2>Used a day</h2><small>${countText(used, 'credit')} in ${DAYS} days</small></div>
      <${BarChart} bars=${bars} label=${`Credits used a day: ${used} in ${DAYS} days`} /></section>`}`
}

function Figure ({ name, value }: { name: string, value: number }): VNode {
  return html`<div class="figure"><dt>${name}</dt><dd>${numberText(value)}</dd></div>`
}

/** From today's balance back: each entry says what the balance was before it. */
function pointsOf ({ credits, entries }: Ledger): Point[] {
  let value = credits.creditsRemaining + credits.creditsReserved
  const points: Point[] = [{ at: Date.now(), value }]
  for (const { createdAt, creditsUsed } of entries) {
    if (!createdAt) continue
    points.unshift({ at: Date.parse(createdAt), value })
    value += creditsUsed
  }
  return points
}

function barsOf (entries: readonly Entry[]) {
  const today = Math.floor(Date.now() / DAY_MS)
  const sums = new Map<number, number>()
  for (const { createdAt, creditsUsed } of entries) {
    const day = Math.floor(Date.parse(createdAt ?? '') / DAY_MS)
    if (creditsUsed > 0) sums.set(day, (sums.get(day) ?? 0) + creditsUsed)
  }
  return Array.from({ length: DAYS }, (_, index) => {
    const day = today - DAYS + 1 + index
    return { name: dayText(new Date(day * DAY_MS).toISOString()), value: sums.get(day) ?? 0 }
  })
}

const NAMES: Readonly<Record<string, string>> = { opening: 'First balance', sign_up: 'Welcome', grant: 'Given', adjustment: 'Corrected', change: 'Changed' }

/** The ledger, a page at a time. */
export function Entries ({ api, path }: { api: Api, path: string }): VNode {
  const pages = usePages(path)
  const page = useLoad(() => api.get<Ledger>(path, { limit: PAGE, cursor: pages.cursor }), [api, path, pages.cursor])
  if (!page.data) return page.error ? html`<${Failure} error=${page.error} onRetry=${page.reload} />` : html`<${Loading} />`
  if (page.data.entries.length === 0) return html`<${Empty} title="Nothing has changed this balance yet." />`
  return html`<h2>Ledger</h2><table class="table"><thead><tr><th>When</th><th>What</th><th class="number">Credits</th><th>Run</th></tr></thead>
    <tbody>${page.data.entries.map(entry => html`<tr key=${entry.id}><td data-label="When" class="fixed" title=${dateText(entry.createdAt)}>${whenText(entry.createdAt)}</td>
      <td data-label="What">${NAMES[entry.operationType] ?? entry.operationType.replaceAll('_', ' ')}${entry.metadata?.reason && html` <small>${entry.metadata.reason}</small>`}</td>
      <td data-label="Credits" class="number">${entry.creditsUsed < 0 ? html`<${Badge} tone="good">+${numberText(-entry.creditsUsed)}<//>` : `−${numberText(entry.creditsUsed)}`}</td>
      <td data-label="Run">${entry.runId ? html`<a href=${addressOf(`runs/${entry.runId}`)}>Open</a>` : '–'}</td></tr>`)}</tbody></table>
    <${Pager} pages=${pages} next=${page.data.nextCursor} />`
}
