import { useState } from 'preact/hooks'
import { Form, needNumber } from '../base/form.js'
import { dateText, numberText, whenText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Badge, Check, Confirm, Empty, Failure, Head, Input, Loading, Notice } from '../base/parts.js'
import type { PageProps } from '../page-props.js'
import type { Agent } from '../session/rows.js'

interface Key { id: string, name: string, prefix: string, publishable: boolean, scopes: string[], agentIds: string[], origins: string[], requestsPerDay: number | null, creditsPerDay: number | null, isActive: boolean, lastUsedAt: string | null, createdAt: string | null }

/** The user's API keys, and what each may. */
export function KeysPage ({ session }: PageProps): VNode {
  const keys = useLoad(async () => (await session.api.get<{ keys: Key[] }>('/api/keys')).keys, [session])
  const agents = useLoad(() => session.rows.agents(), [session])
  const [made, setMade] = useState<string>()
  const [isMaking, setMaking] = useState(false)
  const make = async (body: object) => {
    setMade((await session.api.post<{ key: string }>('/api/keys', body)).key)
    setMaking(false)
    await keys.reload()
  }
  const revoke = async (id: string) => {
    await session.api.delete(`/api/keys/${id}`)
    await keys.reload()
  }
  return html`<${Head} title="API keys" sub="For servers, and for pages of your own."><button class="primary" onClick=${() => setMaking(!isMaking)} aria-expanded=${isMaking}>New key</button><//>
    ${made && html`<${NewKey} text=${made} onClose=${() => setMade(undefined)} />`}
    ${isMaking && html`<${KeyForm} agents=${agents.data ?? []} onMake=${make} />`}
    <${Failure} error=${keys.error} onRetry=${keys.reload} />
    ${!keys.data
? !keys.error && html`<${Loading} />`
: keys.data.length === 0
? html`<${Empty} title="There are no keys yet." />`
      : html`<ul>${keys.data.map(key => html`<${KeyCard} key=${key.id} apiKey=${key} agents=${agents.data ?? []} onRevoke=${() => revoke(key.id)} />`)}</ul>`}`
}

/** The only time that a key is shown. */
function NewKey ({ text, onClose }: { text: string, onClose: () => void }): VNode {
  const [isCopied, setCopied] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => {})
    setCopied(true)
  }
  return html`<section class="card" aria-label="The new key"><${Notice} tone="good">Copy the key now: it is shown only this once.<//>
    <div class="secret"><code>${text}</code><button onClick=${copy}>${isCopied ? 'Copied' : 'Copy'}</button><button class="quiet" onClick=${onClose}>Done</button></div></section>`
}

function KeyForm ({ agents, onMake }: { agents: readonly Agent[], onMake: (body: object) => Promise<void> }): VNode {
  const [name, setName] = useState('')
  const [isPublic, setPublic] = useState(false)
  const [mayRead, setRead] = useState(false)
  const [chosen, setChosen] = useState<readonly string[]>([])
  const [origins, setOrigins] = useState('')
  const [requests, setRequests] = useState('')
  const [credits, setCredits] = useState('')
  const make = () => onMake({
    name: name.trim(),
    publishable: isPublic,
    scopes: mayRead && !isPublic ? ['read'] : [],
    agentIds: chosen,
    origins: origins.split(/[\s,]+/).filter(Boolean),
    ...limitOf('requestsPerDay', requests, 'Runs a day'),
    ...limitOf('creditsPerDay', credits, 'Credits a day')
  })
  const choose = (id: string) => (isOn: boolean) => setChosen(isOn ? [...chosen, id] : chosen.filter(other => other !== id))
  return html`<div class="card"><${Form} onSave=${make} label="Make the key">
    <${Input} label="Name" required maxlength="200" value=${name} onInput=${setName} hint="Where it is used." />
    <${Check} label="Publishable" hint="May stand in public pages: bound to agents, origins and a budget." checked=${isPublic} onInput=${setPublic} />
    ${!isPublic && html`<${Check} label="May read" hint="Lists and reads your runs and your balance." checked=${mayRead} onInput=${setRead} />`}
    <fieldset><legend>Agents${isPublic ? '' : ' (none: all published ones)'}</legend>${agents.slice(0, 100).map(agent => html`<${Check} key=${agent.id} label=${agent.name} checked=${chosen.includes(agent.id)} onInput=${choose(agent.id)} />`)}</fieldset>
    <${Input} label="Origins" code value=${origins} onInput=${setOrigins} hint=${`Of pages that may send it, such as https://www.example.com${isPublic ? '' : '; blank: any caller'}.`} />
    <div class="two"><${Input} label="Runs a day" inputmode="numeric" value=${requests} onInput=${setRequests} hint=${isPublic ? 'Blank: 1,000.' : 'Blank: any number.'} />
      <${Input} label="Credits a day" inputmode="numeric" value=${credits} onInput=${setCredits} hint=${isPublic ? 'Blank: 100.' : 'Blank: any number.'} /></div><//></div>`
}

function limitOf (name: string, text: string, label: string): object {
  const number = needNumber(text, label)
  return number === null ? {} : { [name]: number }
}

function KeyCard ({ apiKey: key, agents, onRevoke }: { apiKey: Key, agents: readonly Agent[], onRevoke: () => Promise<void> }): VNode {
  const names = key.agentIds.map(id => agents.find(agent => agent.id === id)?.name ?? id.slice(0, 8))
  const may = [
    names.length > 0 ? `runs ${names.slice(0, 5).join(', ')}${names.length > 5 ? ' and more' : ''}` : 'runs all published agents',
    key.scopes.includes('read') && 'reads your runs and balance',
    key.origins.length > 0 && `from ${key.origins.slice(0, 3).join(', ')}`,
    key.requestsPerDay !== null && `${numberText(key.requestsPerDay)} runs a day`,
    key.creditsPerDay !== null && `${numberText(key.creditsPerDay)} credits a day`
  ].filter(Boolean).join(' · ')
  return html`<li class="card"><div class="head"><div><h2 class="card-title">${key.name}</h2>
      <div class="badges"><${Badge}><span class="mono">${key.prefix}…</span><//>${key.publishable && html`<${Badge} tone="tint">Publishable<//>`}<${Badge} tone=${key.isActive ? 'good' : 'bad'}>${key.isActive ? 'Active' : 'Revoked'}<//></div>
      <p class="sub">${may}</p><small title=${dateText(key.lastUsedAt)}>Last used: ${key.lastUsedAt ? whenText(key.lastUsedAt) : 'never'}</small></div>
      ${key.isActive && html`<div class="actions"><${Confirm} label="Revoke" confirm="Revoke the key" question=${`Revoke “${key.name.slice(0, 80)}”? Whoever uses it is refused at once.`} onConfirm=${onRevoke} /></div>`}</div></li>`
}
