import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Action, Badge, Confirm, Empty, Failure, Head, Loading } from '../base/parts.js'
import { addressOf, go } from '../base/router.js'
import type { PageProps } from '../page-props.js'
import { AgentForm } from './agent-form.js'
import { FunctionsPart } from './functions-part.js'
import { SchedulePart } from './schedule-part.js'

const TABS = [['', 'Settings'], ['functions', 'Functions'], ['schedule', 'Schedule']] as const

type AgentProps = PageProps & { agentId: string }

/** An agent of the user's: its settings, what it can do besides talking, and when it runs by itself. */
export function AgentPage (props: AgentProps): VNode {
  const { session, agentId, route } = props
  const isNew = agentId === 'new'
  const agent = useLoad(async () => isNew ? undefined : (await session.rows.agent(agentId)) ?? null, [session, agentId])
  if (isNew) return html`<${Head} title="New agent" /><${AgentForm} session=${session} onSaved=${(id: string) => go(addressOf(`agents/${id}`))} />`
  if (agent.error && !agent.data) return html`<${Head} title="Agent" /><${Failure} error=${agent.error} onRetry=${agent.reload} />`
  if (agent.data === null) return html`<${Head} title="Agent" /><${Empty} title="This agent was deleted, or it is somebody else's."><a class="button" href="#/agents">All agents</a><//>`
  if (!agent.data) return html`<${Head} title="Agent" /><${Loading} />`
  const tab = route.path[2] ?? ''
  const { id, name, is_published: isPublished } = agent.data
  const publish = async () => {
    await session.rows.save('agents', { id, is_published: !isPublished })
    await agent.reload()
  }
  const remove = async () => {
    await session.rows.remove('agents', id)
    go('#/agents')
  }
  return html`<${Head} title=${name} sub=${html`<${Badge} tone=${isPublished ? 'good' : ''}>${isPublished ? 'Published' : 'Private'}<//> <span class="mono">${id}</span>`}>
      <a class="button" href=${addressOf('talk', { agent: id })}>Try it</a><${Action} onAct=${publish}>${isPublished ? 'Make private' : 'Publish'}<//>
      <${Confirm} label="Delete" confirm="Delete the agent" question=${`Delete “${name.slice(0, 80)}” with its functions and its schedule? Its runs stay. This cannot be undone.`} onConfirm=${remove} /><//>
    <nav class="tabs" aria-label="Parts of the agent">${TABS.map(([part, title]) => html`<a key=${part} href=${addressOf(`agents/${id}${part && `/${part}`}`)} aria-current=${part === tab ? 'page' : undefined}>${title}</a>`)}</nav>
    ${tab === 'functions'
? html`<${FunctionsPart} session=${session} agentId=${id} />`
: tab === 'schedule'
      ? html`<${SchedulePart} session=${session} agentId=${id} />`
: html`<${AgentForm} key=${id} session=${session} agent=${agent.data} onSaved=${agent.reload} />`}`
}
