import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Empty, Failure, Head, Loading, Select } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import { addressOf, go } from '../base/router.js'
import { shortId } from '../base/format.js'
import type { PageProps } from '../page-props.js'
import { RunTable } from './run-table.js'
import type { RunPage as Page, RunRow } from './run-types.js'
import { RunView } from './run-page.js'

const PAGE = 25
/** How often the newest runs are looked at, in milliseconds. */
const LOOK_MS = 3000
const STATES = [['', 'All states'], ['queued', 'Waiting'], ['running', 'Running'], ['succeeded', 'Done'], ['failed', 'Failed'], ['cancelled', 'Stopped']] as const

/** The user's runs, or one of them. */
export function RunsPage (props: PageProps): VNode {
  const runId = props.route.path[1]
  return runId ? html`<${RunView} key=${runId} runId=${runId} ...${props} />` : html`<${RunList} ...${props} />`
}

function RunList ({ session, route }: PageProps): VNode {
  const status = route.query.get('status') ?? ''
  const agentId = route.query.get('agent') ?? ''
  const agents = useLoad(() => session.rows.agents(), [session])
  const pages = usePages(`${status} ${agentId}`)
  const runs = useLoad(() => session.api.get<Page>('/api/runs', { limit: PAGE, status, agentId, cursor: pages.cursor }), [session, status, agentId, pages.cursor], { every: pages.cursor ? 0 : LOOK_MS })
  const names = new Map(agents.data?.map(({ id, name }) => [id, name]))
  const nameOf = (id: string) => names.get(id) ?? `Agent ${shortId(id)}`
  const filter = (query: { status?: string, agent?: string }) => go(addressOf('runs', { status, agent: agentId, ...query }))
  const choices = [['', 'All agents'], ...(agents.data ?? []).map(({ id, name }) => [id, name.slice(0, 60)] as const)] as const
  return html`<${Head} title="Runs" sub="Newest first. The list keeps itself up to date." />
    <div class="toolbar"><${Select} hidesLabel label="State" value=${status} onInput=${(value: string) => filter({ status: value })} options=${STATES} />
      <${Select} hidesLabel label="Agent" value=${agentId} onInput=${(value: string) => filter({ agent: value })} options=${choices} /></div>
    <${Failure} error=${runs.error} onRetry=${runs.reload} />
    ${!runs.data
? !runs.error && html`<${Loading} />`
: html`<${RunsOrNone} runs=${runs.data.runs} nameOf=${nameOf} isFiltered=${status !== '' || agentId !== ''} />
      <${Pager} pages=${pages} next=${runs.data.nextCursor} />`}`
}

function RunsOrNone ({ runs, nameOf, isFiltered }: { runs: RunRow[], nameOf: (id: string) => string, isFiltered: boolean }): VNode {
  if (runs.length > 0) return html`<${RunTable} runs=${runs} nameOf=${nameOf} hrefOf=${({ runId }: RunRow) => addressOf(`runs/${runId}`)} />`
  return isFiltered
    ? html`<${Empty} title="No run is like that."><a class="button" href="#/runs">Show all</a><//>`
    : html`<${Empty} title="There are no runs yet."><a class="button primary" href="#/talk">Talk to an agent</a><//>`
}
