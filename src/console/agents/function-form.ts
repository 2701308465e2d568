import { useState } from 'preact/hooks'
import { Form, needJson } from '../base/form.js'
import { html, type VNode } from '../base/html.js'
import { sentenceOf } from '../base/load.js'
import { Check, Input, Notice, Select } from '../base/parts.js'
import type { AgentFunction } from '../session/rows.js'
import type { Session } from '../session/session.js'
import { type DryRun, tryFunction } from './dry-run.js'
import { type ConfigField, kindOf } from './function-kinds.js'

interface Draft { name: string, description: string, keywords: string, parameters: string, isTool: boolean, config: Record<string, string> }

const PARAMETERS = '{\n  "type": "object",\n  "properties": { "user_input": { "type": "string" } }\n}'

interface FormProps { session: Session, agentId: string, fn: Partial<AgentFunction>, onClose: () => unknown }

/** Makes or edits a function: a form by its kind, and a try without anything being sent. */
export function FunctionForm ({ session, agentId, fn, onClose }: FormProps): VNode {
  const type = fn.function_type!
  const kind = kindOf(type)
  const [draft, setDraft] = useState<Draft>(() => draftOf(fn))
  const set = <K extends keyof Draft>(name: K) => (value: Draft[K]) => setDraft(before => ({ ...before, [name]: value }))
  const setField = (name: string) => (value: string) => setDraft(before => ({ ...before, config: { ...before.config, [name]: value } }))
  const save = async () => {
    const { id, execution_order, is_enabled } = fn
    await session.rows.save('agent_functions', { ...(id ? { id } : { agent_id: agentId, function_type: type }), ...rowOf(draft, fn), execution_order, is_enabled })
    await onClose()
  }
  const isTool = type === 'python' || draft.isTool
  return html`<h2>${fn.id ? 'Edit' : 'New'}: ${kind.title}</h2><p class="sub">${kind.hint}</p>
    <${Form} onSave=${save} more=${html`<button type="button" class="quiet" onClick=${onClose}>Back</button>`}><div class="card">
      <${Input} label="Name" required maxlength="200" value=${draft.name} onInput=${set('name')} />
      <${Input} label="Description" hint="Of a tool: what the model reads of it." value=${draft.description} onInput=${set('description')} />
      ${kind.fields.map(field => html`<${ConfigInput} key=${field.name} field=${field} value=${draft.config[field.name] ?? ''} onInput=${setField(field.name)} />`)}
      ${kind.canBeTool && type !== 'python' && html`<${Check} label="A tool" hint="The model decides when to call it, instead of words in the message." checked=${draft.isTool} onInput=${set('isTool')} />`}
      ${isTool
? html`<${Input} label="Parameters" rows=${5} code hint="A JSON schema of an object." value=${draft.parameters} onInput=${set('parameters')} />`
        : kind.hasKeywords && html`<${Input} label="Words that run it" hint="Separated by commas; a part of a word counts too." value=${draft.keywords} onInput=${set('keywords')} />`}
    </div><//>
    <${Try} draft=${draft} fn=${fn} agentId=${agentId} isTool=${isTool} />`
}

function ConfigInput ({ field: { name, label, rows, isCode, options, hint, isRequired }, value, onInput }: { field: ConfigField, value: string, onInput: (value: string) => void }): VNode {
  return options
    ? html`<${Select} label=${label} value=${value || options[0]![0]} onInput=${onInput} options=${options} hint=${hint} />`
    : html`<${Input} label=${label} rows=${rows} code=${isCode} hint=${hint} required=${isRequired} value=${value} onInput=${onInput} data-name=${name} />`
}

/** Shows what the function would do. */
function Try ({ draft, fn, agentId, isTool }: { draft: Draft, fn: Partial<AgentFunction>, agentId: string, isTool: boolean }): VNode {
  const [message, setMessage] = useState(isTool ? '{"user_input": "Hello"}' : 'Hello')
  const [outcome, setOutcome] = useState<DryRun | { error: string }>()
  const attempt = (event: Event) => {
    event.preventDefault()
    try {
      const { name, trigger_keywords: words, config } = rowOf(draft, fn)
      const args = isTool ? needJson(message, 'What the model calls it with') as Record<string, unknown> ?? {} : {}
      setOutcome(tryFunction({ name, type: fn.function_type!, triggerKeywords: words, config }, message, args, agentId))
    } catch (error) {
      setOutcome({ error: sentenceOf(error) })
    }
  }
  return html`<form class="card" onSubmit=${attempt} aria-label="Dry run"><h2>Dry run</h2>
    <${Input} label=${isTool ? 'What the model calls it with' : 'A message'} rows=${2} code=${isTool} value=${message} onInput=${setMessage} hint="Shows what would happen. Nothing is sent." />
    <button>Try it</button>
    <div role="status" class="outcome">${outcome && ('error' in outcome ? html`<${Notice} tone="bad">${outcome.error}<//>` : html`<p>${outcome.runs}</p>${outcome.result !== undefined && html`<pre tabindex="0">${outcome.result}</pre>`}`)}</div></form>`
}

function draftOf ({ name = '', description, trigger_keywords: words, config = {} }: Partial<AgentFunction>): Draft {
  const { parameters, ...rest } = config
  const texts = Object.entries(rest).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)])
  return {
    name,
    description: description ?? '',
    keywords: (words ?? []).join(', '),
    isTool: parameters != null && parameters !== '',
    parameters: parameters == null || parameters === '' ? PARAMETERS : typeof parameters === 'string' ? parameters : JSON.stringify(parameters, undefined, 2),
    config: Object.fromEntries(texts)
  }
}

/** What the form does not show stays as it was. @throws a sentence for what is malformed. */
function rowOf (draft: Draft, { function_type: type = '', config: before = {} }: Partial<AgentFunction>) {
  const { fields, canBeTool } = kindOf(type)
  const config: Record<string, unknown> = { ...before }
  delete config.parameters
  for (const { name, options } of fields) {
    const text = draft.config[name] ?? options?.[0]![0] ?? ''
    if (text.trim() === '') delete config[name]
    else config[name] = name === 'headers_json' ? needJson(text, 'Headers') : text
  }
  const isTool = type === 'python' || (canBeTool && draft.isTool)
  if (isTool) config.parameters = needJson(draft.parameters, 'Parameters')
  const words = isTool ? [] : draft.keywords.split(',').map(word => word.trim()).filter(Boolean)
  return { name: draft.name.trim(), description: draft.description.trim() || null, trigger_keywords: words, config }
}
