import { useState } from 'preact/hooks'
import { html, type VNode } from '../base/html.js'
import { countText, whenText } from '../base/format.js'
import { useLoad } from '../base/load.js'
import { Action, Badge, Empty, Failure, Loading } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import { addressOf } from '../base/router.js'
import type { PageProps } from '../page-props.js'

interface AnyAgent { agentId: string, name: string, userId: string, email: string | null, isPublished: boolean, isHeavy: boolean, executor: string, railwayUrl: string | null }

/** Everybody's agents, with the Heavy switch. */
export function AllAgentsPart ({ session }: PageProps): VNode {
  const [typed, setTyped] = useState('')
  const [name, setName] = useState('')
  const pages = usePages(name)
  const agents = useLoad(() => session.api.get<{ agents: AnyAgent[], nextCursor: string | null }>('/api/admin/agents', { limit: 25, name, cursor: pages.cursor }), [session, name, pages.cursor])
  const search = (event: Event) => {
    event.preventDefault()
    setName(typed.trim())
  }
  const setHeavy = async ({ agentId, isHeavy }: AnyAgent) => {
    await session.api.post(`/api/admin/agents/${agentId}/heavy`, { heavy: !isHeavy })
    await agents.reload()
  }
  return html`<form class="toolbar" onSubmit=${search}><input type="search" aria-label="Name contains" placeholder="Name contains …" value=${typed} onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)} /><button>Search</button></form>
    <${Failure} error=${agents.error} onRetry=${agents.reload} />
    ${!agents.data
? !agents.error && html`<${Loading} />`
: agents.data.agents.length === 0
? html`<${Empty} title="There is no such agent." />`
: html`<table class="table">
      <thead><tr><th>Agent</th><th>Owner</th><th>State</th><th>Backend</th><th>Heavy</th></tr></thead><tbody>${agents.data.agents.map(agent => html`<tr key=${agent.agentId}>
        <td data-label="Agent"><a href=${addressOf('talk', { agent: agent.agentId })}>${agent.name}</a></td><td data-label="Owner">${agent.email ?? agent.userId.slice(0, 8)}</td>
        <td data-label="State"><${Badge} tone=${agent.isPublished ? 'good' : ''}>${agent.isPublished ? 'Published' : 'Private'}<//></td><td data-label="Backend" class="mono">${agent.railwayUrl ?? '–'}</td>
        <td data-label="Heavy"><${Action} onAct=${() => setHeavy(agent)}><span class="visually-hidden">Heavy, ${agent.name}:</span> ${agent.isHeavy ? 'On' : 'Off'}<//></td></tr>`)}</tbody></table>
      <${Pager} pages=${pages} next=${agents.data.nextCursor} />`}`
}

interface Wish { agentId: string, agentName: string, userId: string, railwayUrl: string | null, requestedUrl: string, requestedAt: string }

/** Backends that owners ask for and that wait for an admin. */
export function AddressesPart ({ session }: PageProps): VNode {
  const wishes = useLoad(() => session.api.get<{ requests: Wish[], total: number }>('/api/admin/railway-urls', { limit: 100 }), [session])
  const settle = async ({ agentId, requestedUrl: url }: Wish, approve: boolean) => {
    await session.api.post(`/api/admin/agents/${agentId}/railway-url`, { url, approve })
    await wishes.reload()
  }
  if (!wishes.data) return wishes.error ? html`<${Failure} error=${wishes.error} onRetry=${wishes.reload} />` : html`<${Loading} />`
  if (wishes.data.total === 0) return html`<${Empty} title="No address waits for approval." />`
  return html`<${Failure} error=${wishes.error} onRetry=${wishes.reload} /><p class="sub">${countText(wishes.data.total, 'address', 'addresses')} to look at. The edge function sends its secret to an address that you approve.</p>
    <ul>${wishes.data.requests.map(wish => html`<li class="card" key=${wish.agentId}><h2 class="card-title">${wish.agentName}</h2>
      <p><code>${wish.requestedUrl}</code><br /><small>instead of ${wish.railwayUrl ?? 'the platform\'s own'} · asked ${whenText(wish.requestedAt)} by ${wish.userId.slice(0, 8)}</small></p>
      <div class="actions"><${Action} tone="primary" onAct=${() => settle(wish, true)}>Approve<//><${Action} onAct=${() => settle(wish, false)}>Refuse<//></div></li>`)}</ul>`
}
