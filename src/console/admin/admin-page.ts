import type { ComponentType } from 'preact'
import { html, type VNode } from '../base/html.js'
import { Head } from '../base/parts.js'
import { addressOf } from '../base/router.js'
import type { PageProps } from '../page-props.js'
import { RunView } from '../runs/run-page.js'
import { ActionsPart } from './actions-part.js'
import { AddressesPart, AllAgentsPart } from './agents-part.js'
import { AllRunsPart } from './all-runs-part.js'
import { FiguresPart } from './figures-part.js'
import { UserView, UsersPart } from './users-part.js'

interface Tab { name: string, title: string, part: ComponentType<PageProps>, one?: (props: PageProps, id: string) => VNode }

const TABS: readonly Tab[] = [
  { name: '', title: 'Overview', part: FiguresPart },
  { name: 'runs', title: 'Runs', part: AllRunsPart, one: (props, runId) => html`<${RunView} key=${runId} runId=${runId} isForAdmin ...${props} />` },
  { name: 'users', title: 'Users', part: UsersPart, one: (props, userId) => html`<${UserView} key=${userId} userId=${userId} ...${props} />` },
  { name: 'agents', title: 'Agents', part: AllAgentsPart },
  { name: 'addresses', title: 'Backends', part: AddressesPart },
  { name: 'actions', title: 'Who did what', part: ActionsPart }
]

/** What admins may look at and do. The service notes each look. */
export function AdminPage (props: PageProps): VNode {
  const [, name = '', id] = props.route.path
  const tab = TABS.find(tab => tab.name === name) ?? TABS[0]!
  if (id && tab.one) return tab.one(props, id)
  return html`<${Head} title="Administration" sub="What you look at here is noted with your name." />
    <nav class="tabs" aria-label="Parts of administration">${TABS.map(({ name, title }) => html`<a key=${name} href=${addressOf(`admin${name && `/${name}`}`)} aria-current=${name === tab.name ? 'page' : undefined}>${title}</a>`)}</nav>
    <${tab.part} ...${props} />`
}
