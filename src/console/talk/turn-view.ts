import { countText, durationText, numberText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { addressOf } from '../base/router.js'
import { Text } from '../base/text.js'
import type { Answer, Happening } from './answer.js'
import type { Turn } from './chats.js'

interface TurnProps { turn: Turn, answer: Answer | undefined, onAgain?: () => void }

/** A question and its answer, as far as it has come. */
export function TurnView ({ turn, answer, onAgain }: TurnProps): VNode {
  const state = turn.state ?? answer?.state ?? 'waiting'
  const text = answer?.text ?? turn.text ?? ''
  const isOver = turn.state !== undefined
  return html`<li class="turn">
    <div class="question"><h3 class="visually-hidden">You</h3><div class="text">${turn.question}</div></div>
    <div class="answer" aria-busy=${!isOver}><h3 class="visually-hidden">Agent</h3>
      ${answer && html`<${Happenings} answer=${answer} />`}
      ${text !== '' && html`<${Text} text=${text} isWhole=${isOver} />`}
      ${!isOver && html`<${Progress} answer=${answer} />`}
      ${state === 'failed' && html`<div class="notice bad" role="alert"><span>${(turn.error ?? answer?.error)?.message ?? 'The run failed.'}</span>
        ${(turn.error ?? answer?.error)?.code === 'insufficient_credits' && html`<a href="#/credits">See your balance</a>`}
        ${(turn.error ?? answer?.error)?.code === 'agent_not_found' && html`<a href="#/agents">Choose another agent</a>`}</div>`}
      ${isOver && html`<${Foot} turn=${turn} onAgain=${onAgain} />`}
    </div></li>`
}

function Foot ({ turn, onAgain }: { turn: Turn, onAgain?: () => void }): VNode {
  const { state, usage, credits, executionTime, runId } = turn
  const facts = [
    state === 'cancelled' && 'stopped',
    executionTime !== undefined && durationText(executionTime),
    usage && countText(usage.totalTokens, 'token'),
    credits !== undefined && countText(credits, 'credit')
  ].filter(Boolean)
  return html`<p class="foot">${facts.join(' · ')}${runId && html`<a href=${addressOf(`runs/${runId}`)}>Details</a>`}
    ${onAgain && html`<button class="link" onClick=${onAgain}>Ask again</button>`}</p>`
}

/** What is happening now, until the answer is over. */
function Progress ({ answer }: { answer: Answer | undefined }): VNode {
  const { state, position, progress } = answer ?? {}
  const sentence = state === 'queued'
    ? `Waiting in line: number ${numberText(position)}`
    : progress?.message ?? (answer?.text ? 'Writing …' : state === 'running' ? 'Thinking …' : 'Connecting …')
  return html`<div class="progress" role="status"><i class="pulse" aria-hidden="true"></i><span>${sentence}</span>
    ${progress?.fraction !== undefined && html`<progress max="1" value=${progress.fraction} aria-label="Progress"></progress>`}</div>`
}

function Happenings ({ answer }: { answer: Answer }): VNode | null {
  const { reasoning, happenings } = answer
  if (reasoning === '' && happenings.length === 0) return null
  return html`<div class="happenings">
    ${reasoning !== '' && html`<details class="happening"><summary>Reasoning</summary><div class="text small">${reasoning}</div></details>`}
    ${happenings.map(happening => html`<${HappeningView} key=${happening.seq} happening=${happening} />`)}</div>`
}

/** A tool's call, a retry, a new attempt. */
function HappeningView ({ happening }: { happening: Happening }): VNode {
  switch (happening.kind) {
    case 'retry': return html`<p class="happening note">Tried again after ${happening.code}${happening.model && html` with ${happening.model}`}</p>`
    case 'attempt': return html`<p class="happening note">Attempt ${happening.attempt}: another process went on with the run</p>`
    case 'rewind': return html`<p class="happening note">A part of the text was taken back and written anew</p>`
    default: return html`<details class=${`happening ${happening.error ? 'bad' : ''}`}>
      <summary><span class="tool">${happening.name}</span> ${happening.error ? 'failed' : happening.result === undefined ? 'is called …' : 'was called'}</summary>
      <pre tabindex="0">${json(happening.arguments)}</pre>
      ${happening.error && html`<p class="inline-error">${happening.error}</p>`}
      ${happening.result !== undefined && html`<pre tabindex="0">${happening.result.slice(0, 20_000)}</pre>`}</details>`
  }
}

function json (value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value, undefined, 2) ?? '').slice(0, 20_000)
}
