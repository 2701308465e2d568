import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Badge, Empty, Failure, Head, Loading } from '../base/parts.js'
import { addressOf } from '../base/router.js'
import type { PageProps } from '../page-props.js'
import type { Agent } from '../session/rows.js'
import { AgentPage } from './agent-page.js'

/** The user's agents, or one of them. */
export function AgentsPage (props: PageProps): VNode {
  const id = props.route.path[1]
  return id ? html`<${AgentPage} key=${id} agentId=${id} ...${props} />` : html`<${AgentList} ...${props} />`
}

function AgentList ({ session }: PageProps): VNode {
  const agents = useLoad(() => session.rows.agents(), [session])
  const own = agents.data?.filter(({ user_id }) => user_id === session.userId)
  const others = agents.data?.filter(({ user_id }) => user_id !== session.userId) ?? []
  return html`<${Head} title="Agents" sub="What you have made, and what others have published."><a class="button primary" href="#/agents/new">New agent</a><//>
    <${Failure} error=${agents.error} onRetry=${agents.reload} />
    ${!own
? !agents.error && html`<${Loading} />`
: own.length > 0
      ? html`<ul class="cards">${own.map(agent => html`<${AgentCard} key=${agent.id} agent=${agent} isOwn />`)}</ul>`
      : html`<${Empty} title="You have no agents yet."><a class="button primary" href="#/agents/new">Make the first one</a><//>`}
    ${others.length > 0 && html`<section class="section"><h2>Published by others</h2><ul class="cards">${others.map(agent => html`<${AgentCard} key=${agent.id} agent=${agent} />`)}</ul></section>`}`
}

function AgentCard ({ agent, isOwn = false }: { agent: Agent, isOwn?: boolean }): VNode {
  return html`<li class="card"><h2 class="card-title">${agent.name}</h2>
    <div class="badges"><${Badge} tone=${agent.is_published ? 'good' : ''}>${agent.is_published ? 'Published' : 'Private'}<//>
      ${agent.executor === 'python' && html`<${Badge} tone="tint">Python<//>`}${agent.is_heavy && html`<${Badge}>Heavy<//>`}</div>
    <p>${agent.description || 'No description.'}</p>
    <div class="actions"><a class="button" href=${addressOf('talk', { agent: agent.id })} aria-label=${`Talk to ${agent.name}`}>Talk</a>
      ${isOwn && html`<a class="button quiet" href=${addressOf(`agents/${agent.id}`)} aria-label=${`Edit ${agent.name}`}>Edit</a>`}</div></li>`
}
