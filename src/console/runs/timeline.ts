import { durationText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import type { GatewayFailure, RunRow, Step } from './run-types.js'

interface Span { name: string, from: number, to: number, tone: string }

/** When a run waited and ran, with its steps where they are known. */
export function Timeline ({ run, steps = [], failures = [] }: { run: RunRow, steps?: Step[], failures?: GatewayFailure[] }): VNode {
  const begin = Date.parse(run.createdAt)
  const end = run.finishedAt ? Date.parse(run.finishedAt) : Date.now()
  const start = run.startedAt ? Date.parse(run.startedAt) : end
  const spans: Span[] = [
    ...(start - begin > 5 ? [{ name: 'Waited', from: begin, to: start, tone: 'wait' }] : []),
    ...(run.startedAt ? [{ name: run.attempt > 1 ? `Ran, ${run.attempt} attempts` : 'Ran', from: start, to: end, tone: run.status === 'failed' ? 'bad' : '' }] : []),
    ...steps.slice(0, 200).map(spanOf),
    ...failures.slice(0, 50).map(({ at, code, attempt }) => ({ name: `${code}, attempt ${attempt}`, from: Date.parse(at), to: Date.parse(at), tone: 'bad' }))
  ]
  const whole = Math.max(end - begin, 1)
  return html`<section class="card" aria-label="Time line"><h2>Time line</h2>
    ${spans.map(({ name, from, to, tone }, index) => html`<div class="span-row" key=${index}><span class="name" title=${name}>${name}</span>
      <svg class="track" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
        <rect class=${tone} x=${1000 * (from - begin) / whole} width=${Math.max(1000 * (to - from) / whole, 4)} y="0" height="10" /></svg>
      <span class="time">${durationText(to === from ? from - begin : to - from)}</span></div>`)}</section>`
}

function spanOf ({ kind, name, step, startedAt, finishedAt }: Step): Span {
  const to = Date.parse(finishedAt)
  return { name: `${step}. ${kind === 'tool' ? name ?? 'tool' : name ?? 'model'}`, from: startedAt ? Date.parse(startedAt) : to, to, tone: kind === 'tool' ? 'tool-span' : '' }
}
