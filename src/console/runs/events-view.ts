import type { NumberedEvent } from '../../client/client.js'
import { countText, durationText, sizeText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import type { History, Line } from './recorded.js'

/** Each event of a run, in its order; deltas of one text are one line. */
export function EventsView ({ history, isLive }: { history: History, isLive: boolean }): VNode {
  return html`<section class="card" aria-label="Events"><h2>Events ${isLive && html`<small>live</small>`}</h2>
    ${history.dropped > 0 && html`<p class="hint">${countText(history.dropped, 'earlier line')} left out.</p>`}
    <ol class="events">${history.lines.map(line => html`<${LineView} key=${line.seq} line=${line} />`)}</ol></section>`
}

function LineView ({ line }: { line: Line }): VNode {
  const [title, tone, detail] = describe(line)
  const numbers = line.seq === line.last ? `#${line.seq}` : `#${line.seq} – ${line.last}`
  return html`<li class=${tone}><div class="event-head"><b>${title}</b><small>${numbers}</small></div>${detail && html`<${Detail} text=${detail} />`}</li>`
}

function Detail ({ text }: { text: string }): VNode {
  return text.length < 160 && !text.includes('\n')
    ? html`<small>${text}</small>`
    : html`<details><summary><small>${text.slice(0, 80)} …</small></summary><pre tabindex="0">${text.slice(0, 20_000)}</pre></details>`
}

/** What an event says: a title, a tone, and what else there is to it. */
function describe ({ event, count, characters }: Line): [title: string, tone: string, detail?: string] {
  switch (event.type) {
    case 'queued': return ['Waits', 'warn', `number ${event.position} in line`]
    case 'started': return [event.attempt > 1 ? `Attempt ${event.attempt} began` : 'Began', 'tint']
    case 'chunk': return ['Text', '', `${sizeText(characters)}, in ${countText(count, 'part')}`]
    case 'reasoning': return ['Reasoning', '', `${sizeText(characters)}, in ${countText(count, 'part')}`]
    case 'progress': return ['Progress', '', [event.fraction !== undefined && `${Math.round(event.fraction * 100)} %`, event.message].filter(Boolean).join(', ')]
    case 'rewind': return ['Taken back', 'warn', `all text after #${event.to}`]
    case 'step': return [`Step ${event.step}`, 'tint']
    case 'tool_call': return [`Calls ${event.name}`, 'tint', textOf(event.arguments)]
    case 'tool_result': return [`${event.name} ${event.error === undefined ? 'answered' : 'failed'}`, event.error === undefined ? 'good' : 'bad', event.error ?? event.result]
    case 'retry': return ['Tries again', 'warn', `after ${event.code}, in ${durationText(event.delayMs)}${event.model ? `, with ${event.model}` : ''}`]
    default: return describeEnd(event)
  }
}

function describeEnd (event: Extract<NumberedEvent, { type: 'done' | 'error' | 'cancelled' }>): [title: string, tone: string, detail?: string] {
  if (event.type === 'error') return ['Failed', 'bad', `${event.code}: ${event.error}`]
  if (event.type === 'cancelled') return ['Stopped', 'warn', countText(event.creditsUsed, 'credit')]
  return ['Done', 'good', `${countText(event.usage.totalTokens, 'token')}, ${countText(event.creditsUsed, 'credit')}${event.finishReason ? `, ${event.finishReason}` : ''}${event.cached ? ', from the cache' : ''}`]
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, undefined, 2)
}
