import { countText, dateText, durationText, numberText, shortId } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Action, Badge, Empty, Failure, Head, Loading, State } from '../base/parts.js'
import { addressOf, go } from '../base/router.js'
import { Text } from '../base/text.js'
import { JeesiError } from '../../client/client.js'
import type { PageProps } from '../page-props.js'
import { EventsView } from './events-view.js'
import { durationOf, type GatewayFailure, type InspectedRun, type RunRow, type Step } from './run-types.js'
import { Timeline } from './timeline.js'
import { useEvents } from './use-events.js'

/** How often a run under way is looked at, in milliseconds; its events come by themselves. */
const LOOK_MS = 2000

type ViewProps = PageProps & { runId: string, isForAdmin?: boolean }

/** A run: what it was, what happened, why it failed. */
export function RunView ({ session, chats, runId, isForAdmin = false }: ViewProps): VNode {
  const followed = useEvents(session, runId, isForAdmin)
  const run = useLoad(() => session.api.get<RunRow>(`/api/runs/${runId}`), [session, runId, isForAdmin], { every: followed.isLive && !isForAdmin ? LOOK_MS : 0 })
  // Admins are told more, and each look of theirs is noted: one when the page opens, and one at the end.
  const inspected = useLoad(async () => isForAdmin || session.isAdmin ? session.api.get<InspectedRun>(`/api/admin/runs/${runId}`) : undefined, [session, runId, followed.isLive])
  const recorded = useLoad(async () => isForAdmin ? undefined : session.api.get<{ steps: Step[] }>(`/api/runs/${runId}/steps`), [session, runId, isForAdmin, followed.isLive], { every: followed.isLive && !isForAdmin ? LOOK_MS : 0 })
  const agents = useLoad(() => session.rows.agents(), [session])
  const shown = inspected.data && (inspected.data.finishedAt || isForAdmin || !run.data) ? inspected.data : run.data
  if (!shown) {
    const error = run.error ?? inspected.error
    if (!error) return html`<${Head} title="Run" /><${Loading} />`
    return error instanceof JeesiError && error.status === 404
      ? html`<${Head} title="Run" /><${Empty} title="There is no such run, or it is somebody else's."><a class="button" href="#/runs">All runs</a><//>`
      : html`<${Head} title="Run" /><${Failure} error=${error} onRetry=${run.reload} />`
  }
  const name = agents.data?.find(({ id }) => id === shown.agentId)?.name ?? `Agent ${shortId(shown.agentId)}`
  const stop = async () => {
    await session.api.post(isForAdmin ? `/api/admin/runs/${runId}/cancel` : `/api/runs/${runId}/cancel`)
    await Promise.all([run.reload(), inspected.reload()])
  }
  return html`<${Head} title=${name} sub=${html`<span class="mono">${runId}</span>`}><${State} status=${shown.status} />
      ${!shown.finishedAt && html`<${Action} tone="stop" onAct=${stop}>Stop<//>`}
      ${!isForAdmin && html`<button class="primary" onClick=${() => again(chats, shown, name)}>Ask again</button>`}<//>
    <${Facts} run=${shown} inspected=${inspected.data} />
    <${Why} run=${shown} inspected=${inspected.data} />
    <${Timeline} run=${shown} steps=${inspected.data?.steps ?? recorded.data?.steps} failures=${inspected.data?.failures} />
    <${AnswerCard} run=${shown} followed=${followed} />
    <${Failure} error=${followed.error} />
    <${EventsView} history=${followed.history} isLive=${followed.isLive && !shown.finishedAt} />`
}

/** Goes on from a run: with its question, where this browser has asked it. */
function again (chats: PageProps['chats'], run: RunRow, name: string): void {
  const found = chats.ofRun(run.runId)
  if (!found) return go(addressOf('talk', { agent: run.agentId }))
  const { chat, turn } = found
  const next = chats.begin(run.agentId, name, chat.turns.slice(0, chat.turns.indexOf(turn)))
  chats.ask(next, turn.question)
  go(addressOf(`talk/${next.id}`))
}

function Facts ({ run, inspected }: { run: RunRow, inspected: InspectedRun | undefined }): VNode {
  const { usage, attempt, creditsCharged, creditsReserved, finishedAt, createdAt } = run
  const facts: Array<[string, string, string?]> = [
    ['Time', durationText(durationOf(run))],
    ['Tokens', numberText(usage?.totalTokens), usage ? `${numberText(usage.promptTokens)} in, ${numberText(usage.completionTokens)} out${usage.estimated ? ', estimated' : ''}` : undefined],
    [finishedAt ? 'Credits' : 'Credits held', numberText(finishedAt ? creditsCharged : creditsReserved)],
    ['Attempts', numberText(attempt), inspected && inspected.crashes > 0 ? `${countText(inspected.crashes, 'process', 'processes')} died` : undefined]
  ]
  return html`<dl class="figures">${facts.map(([name, value, more]) => html`<div class="figure" key=${name}><dt>${name}</dt><dd>${value}${more && html`<small>${more}</small>`}</dd></div>`)}
    <div class="figure"><dt>Begun</dt><dd class="word">${dateText(createdAt)}${inspected?.model && html`<small class="mono">${inspected.model}</small>`}</dd></div></dl>`
}

/** Why a run failed: in a sentence for all, in the gateway's own words for admins. */
function Why ({ run, inspected }: { run: RunRow, inspected: InspectedRun | undefined }): VNode | null {
  const failures = inspected?.failures ?? []
  if (!run.error && failures.length === 0) return null
  return html`<section class="card" aria-label="What failed"><h2>${run.error ? 'Why it failed' : 'What failed on the way'}</h2>
    ${run.error && html`<p>${run.error.message} <${Badge} tone="bad">${run.error.code}<//></p>`}
    ${inspected?.reason && html`<pre tabindex="0">${inspected.reason}</pre>`}
    ${failures.length > 0 && html`<ul>${failures.map((failure, index) => html`<${GatewayLine} key=${index} failure=${failure} />`)}</ul>`}</section>`
}

function GatewayLine ({ failure: { at, attempt, code, status, reason, cause, model } }: { failure: GatewayFailure }): VNode {
  const facts = [status !== undefined && `status ${status}`, cause, model, `attempt ${attempt}`, dateText(at)].filter(Boolean).join(' · ')
  return html`<li><p><${Badge} tone="bad">${code}<//> <small>${facts}</small>${reason && html`<br />${reason}`}</p></li>`
}

function AnswerCard ({ run, followed: { answer, isLive } }: { run: RunRow, followed: ReturnType<typeof useEvents> }): VNode | null {
  // A replayed run may lack its text, which the database has.
  const text = answer.text.length >= run.response.length ? answer.text : run.response
  if (text === '' && answer.reasoning === '') return null
  return html`<section class="card" aria-label="Answer"><h2>Answer</h2>
    ${answer.reasoning !== '' && html`<details class="happening"><summary>Reasoning</summary><div class="text small">${answer.reasoning}</div></details>`}
    <${Text} text=${text} isWhole=${!isLive} name=${`run-${shortId(run.runId)}`} /></section>`
}
