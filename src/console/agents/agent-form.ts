import { useState } from 'preact/hooks'
import { Form, needJson, needNumber } from '../base/form.js'
import { html, type VNode } from '../base/html.js'
import { Badge, Check, Input, Select } from '../base/parts.js'
import type { Agent } from '../session/rows.js'
import type { Session } from '../session/session.js'

interface Draft { name: string, description: string, prompt: string, model: string, temperature: string, maxTokens: string, knowledge: string, isPublished: boolean, isHeavy: boolean, executor: string, entrypoint: string, railwayUrl: string }

/** Makes or edits an agent. */
export function AgentForm ({ session, agent, onSaved }: { session: Session, agent?: Agent, onSaved: (id: string) => unknown }): VNode {
  const [draft, setDraft] = useState<Draft>(() => draftOf(agent))
  const set = <K extends keyof Draft>(name: K) => (value: Draft[K]) => setDraft(before => ({ ...before, [name]: value }))
  const save = async () => {
    const saved = await session.rows.save('agents', { ...(agent && { id: agent.id }), ...rowOf(draft, session, agent) })
    await onSaved(saved.id)
  }
  const isPython = draft.executor === 'python'
  return html`<${Form} onSave=${save} label=${agent ? 'Save' : 'Make the agent'}><div class="card">
      <${Input} label="Name" required maxlength="200" value=${draft.name} onInput=${set('name')} />
      <${Input} label="Description" hint="What others read of it." value=${draft.description} onInput=${set('description')} />
      ${session.isAdmin && html`<${Select} label="What runs it" value=${draft.executor} onInput=${set('executor')} options=${[['model', 'A language model'], ['python', 'Code in Python']]} />`}
      ${isPython
? html`<${Input} label="Entrypoint" code hint="package.module:function, in the folder python." value=${draft.entrypoint} onInput=${set('entrypoint')} />`
        : html`<${Input} label="Prompt" rows=${8} hint="What the model is told before anybody speaks." value=${draft.prompt} onInput=${set('prompt')} />`}
    </div>
    ${!isPython && html`<details class="card"><summary>Model and knowledge</summary><div class="two">
      <${Input} label="Model" code hint="Blank: the default of the service." maxlength="50" value=${draft.model} onInput=${set('model')} />
      <${Input} label="Temperature" inputmode="decimal" hint="0 to 2; blank: the default." value=${draft.temperature} onInput=${set('temperature')} />
      <${Input} label="Most tokens of an answer" inputmode="numeric" hint="Blank: the default." value=${draft.maxTokens} onInput=${set('maxTokens')} /></div>
      <${Input} label="Knowledge" rows=${5} code hint="A JSON list of texts, or of objects with content." value=${draft.knowledge} onInput=${set('knowledge')} /></details>`}
    <div class="card"><${Check} label="Published" hint="Everybody may run it, by its id or an API key." checked=${draft.isPublished} onInput=${set('isPublished')} />
      <${Check} label="Heavy" hint="The edge function hands it to this service." checked=${draft.isHeavy} onInput=${set('isHeavy')} />
      ${session.hasProject && html`<${Input} label="Backend of its own" code value=${draft.railwayUrl} onInput=${set('railwayUrl')}
        hint=${agent?.railway_url_requested ? html`<${Badge} tone="wait">waits for approval<//> ${agent.railway_url_requested}` : 'An address that an admin approves; blank: the platform\'s.'} />`}</div><//>`
}

function draftOf (agent: Partial<Agent> = {}): Draft {
  const { name = '', description, system_prompt, ai_model, temperature, max_tokens, knowledge_base: knowledge } = agent
  const hasKnowledge = Array.isArray(knowledge) ? knowledge.length > 0 : knowledge != null
  return {
    name,
    description: description ?? '',
    prompt: system_prompt ?? '',
    model: ai_model ?? '',
    temperature: temperature?.toString() ?? '',
    maxTokens: max_tokens?.toString() ?? '',
    knowledge: hasKnowledge ? JSON.stringify(knowledge, undefined, 2) : '',
    isPublished: agent.is_published ?? false,
    isHeavy: agent.is_heavy ?? true,
    executor: agent.executor ?? 'model',
    entrypoint: agent.entrypoint ?? '',
    railwayUrl: agent.railway_url ?? ''
  }
}

/** @throws a sentence for what is malformed. */
function rowOf (draft: Draft, session: Session, agent: Agent | undefined): Partial<Agent> {
  const url = draft.railwayUrl.trim()
  return {
    name: draft.name.trim(),
    description: draft.description.trim() || null,
    system_prompt: draft.prompt || null,
    ai_model: draft.model.trim() || null,
    temperature: needNumber(draft.temperature, 'Temperature'),
    max_tokens: needNumber(draft.maxTokens, 'Most tokens of an answer'),
    knowledge_base: needJson(draft.knowledge, 'Knowledge') ?? [],
    is_published: draft.isPublished,
    is_heavy: draft.isHeavy,
    ...(session.isAdmin && { executor: draft.executor, entrypoint: draft.entrypoint.trim() || null }),
    // What stays as it was is not sent: a wish that waits would be taken back by it.
    ...(session.hasProject && url !== (agent?.railway_url ?? '') && { railway_url: url || null })
  }
}
