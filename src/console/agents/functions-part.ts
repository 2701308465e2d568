import { useState } from 'preact/hooks'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Action, Badge, Confirm, Empty, Failure, Loading } from '../base/parts.js'
import type { AgentFunction } from '../session/rows.js'
import type { Session } from '../session/session.js'
import { FunctionForm } from './function-form.js'
import { kindOf, KINDS } from './function-kinds.js'

/** What an agent can do besides talking. */
export function FunctionsPart ({ session, agentId }: { session: Session, agentId: string }): VNode {
  const functions = useLoad(() => session.rows.functions(agentId), [session, agentId])
  const [edited, setEdited] = useState<Partial<AgentFunction>>()
  const close = async () => {
    setEdited(undefined)
    await functions.reload()
  }
  if (edited) return html`<${FunctionForm} key=${edited.id ?? edited.function_type} session=${session} agentId=${agentId} fn=${edited} onClose=${close} />`
  if (!functions.data) return functions.error ? html`<${Failure} error=${functions.error} onRetry=${functions.reload} />` : html`<${Loading} />`
  const next = functions.data.reduce((most, { execution_order: order }) => Math.max(most, order + 1), 0)
  const kinds = KINDS.filter(({ isForAdmins }) => !isForAdmins || session.isAdmin)
  return html`<${Failure} error=${functions.error} />
    ${functions.data.length === 0 ? html`<${Empty} title="This agent only talks so far." />` : html`<ul>${functions.data.map(fn => html`<${FunctionCard} key=${fn.id} fn=${fn} session=${session} onEdit=${() => setEdited(fn)} onChange=${functions.reload} />`)}</ul>`}
    <h2 class="section">Add a function</h2>
    <ul class="cards">${kinds.map(({ type, title, hint }) => html`<li key=${type} class="card"><h3 class="card-title">${title}</h3><p>${hint}</p>
      <div class="actions"><button aria-label=${`Add: ${title}`} onClick=${() => setEdited({ function_type: type, execution_order: next, is_enabled: true })}>Add</button></div></li>`)}</ul>`
}

function FunctionCard ({ fn, session, onEdit, onChange }: { fn: AgentFunction, session: Session, onEdit: () => void, onChange: () => Promise<void> }): VNode {
  const { id, name, description, function_type: type, is_enabled: isOn, trigger_keywords: words, config } = fn
  const toggle = async () => {
    await session.rows.save('agent_functions', { id, is_enabled: !isOn })
    await onChange()
  }
  const remove = async () => {
    await session.rows.remove('agent_functions', id)
    await onChange()
  }
  const isTool = config.parameters != null && config.parameters !== ''
  return html`<li class="card"><div class="head"><div><h2 class="card-title">${name}</h2>
      <div class="badges"><${Badge} tone="tint">${kindOf(type).title}<//><${Badge} tone=${isOn ? 'good' : ''}>${isOn ? 'On' : 'Off'}<//>${isTool && html`<${Badge}>Tool<//>`}
        ${(words ?? []).slice(0, 8).map(word => html`<${Badge} key=${word}>${word.slice(0, 40)}<//>`)}</div>${description && html`<p class="sub">${description}</p>`}</div>
      <div class="actions"><button onClick=${onEdit} aria-label=${`Edit ${name}`}>Edit</button><${Action} tone="quiet" onAct=${toggle}>${isOn ? 'Switch off' : 'Switch on'}<//>
        <${Confirm} label="Delete" confirm="Delete the function" question=${`Delete “${name.slice(0, 80)}”? This cannot be undone.`} onConfirm=${remove} /></div></div></li>`
}
