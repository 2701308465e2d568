import { shortId } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Empty, Failure, Loading, Select } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import { addressOf, go } from '../base/router.js'
import type { PageProps } from '../page-props.js'
import { RunTable } from '../runs/run-table.js'
import type { RunPage, RunRow } from '../runs/run-types.js'

const PAGE = 25
const STATES = [['', 'All states'], ['queued', 'Waiting'], ['running', 'Running'], ['succeeded', 'Done'], ['failed', 'Failed'], ['cancelled', 'Stopped']] as const

/** Everybody's runs. They are looked at when the admin asks, since each look is noted. */
export function AllRunsPart ({ session, route }: PageProps): VNode {
  const status = route.query.get('status') ?? ''
  const user = route.query.get('user') ?? ''
  const pages = usePages(`${status} ${user}`)
  const runs = useLoad(() => session.api.get<RunPage>('/api/admin/runs', { limit: PAGE, status, userId: user, cursor: pages.cursor }), [session, status, user, pages.cursor])
  const agents = useLoad(() => session.rows.agents(), [session])
  const nameOf = (id: string) => agents.data?.find(agent => agent.id === id)?.name ?? `Agent ${shortId(id)}`
  return html`<div class="toolbar"><${Select} hidesLabel label="State" value=${status} options=${STATES} onInput=${(value: string) => go(addressOf('admin/runs', { status: value, user }))} />
      ${user && html`<span class="badge tint">of ${shortId(user)}</span><a href=${addressOf('admin/runs', { status })}>of everybody</a>`}<span class="grow"></span>
      <button class="quiet" onClick=${runs.reload}>Look again</button></div>
    <${Failure} error=${runs.error} onRetry=${runs.reload} />
    ${!runs.data
? !runs.error && html`<${Loading} />`
: runs.data.runs.length === 0
? html`<${Empty} title="No run is like that." />`
      : html`<${RunTable} showsUser runs=${runs.data.runs} nameOf=${nameOf} hrefOf=${({ runId }: RunRow) => addressOf(`admin/runs/${runId}`)} /><${Pager} pages=${pages} next=${runs.data.nextCursor} />`}`
}
