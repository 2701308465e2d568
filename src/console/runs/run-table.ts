import { durationText, numberText, shortId, whenText, dateText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { State } from '../base/parts.js'
import { durationOf, type RunRow } from './run-types.js'

interface TableProps { runs: readonly RunRow[], nameOf: (agentId: string) => string, hrefOf: (run: RunRow) => string, showsUser?: boolean }

/** Runs in a table; on a phone each is a card. */
export function RunTable ({ runs, nameOf, hrefOf, showsUser }: TableProps): VNode {
  return html`<table class="table"><thead><tr><th>State</th><th>Agent</th>${showsUser && html`<th>User</th>`}<th>Begun</th><th class="number">Time</th><th class="number">Tokens</th><th class="number">Credits</th><th>Answer</th></tr></thead>
    <tbody>${runs.map(run => html`<${Row} key=${run.runId} run=${run} name=${nameOf(run.agentId)} href=${hrefOf(run)} showsUser=${showsUser} />`)}</tbody></table>`
}

function Row ({ run, name, href, showsUser }: { run: RunRow, name: string, href: string, showsUser?: boolean }): VNode {
  const { status, attempt, usage, creditsCharged, creditsReserved, createdAt, response, error, reason } = run
  const isOver = run.finishedAt !== null
  return html`<tr>
    <td data-label="State"><${State} status=${status} /></td>
    <td data-label="Agent" class="named"><a href=${href}>${name}</a>${attempt > 1 && html` <small>attempt ${attempt}</small>`}</td>
    ${showsUser && html`<td data-label="User" class="mono">${shortId(run.userId ?? '')}</td>`}
    <td data-label="Begun" class="fixed" title=${dateText(createdAt)}>${whenText(createdAt)}</td>
    <td data-label="Time" class="number">${durationText(durationOf(run))}</td>
    <td data-label="Tokens" class="number">${numberText(usage?.totalTokens)}</td>
    <td data-label="Credits" class="number">${isOver ? numberText(creditsCharged) : html`<span title="held until it ends">${numberText(creditsReserved)} held</span>`}</td>
    <td data-label="" class="cut-text">${reason ?? error?.message ?? response.slice(0, 140)}</td></tr>`
}
