import { type ComponentType } from 'preact'
import { AdminPage } from './admin/admin-page.js'
import { AgentsPage } from './agents/agents-page.js'
import { KeysPage } from './agents/keys-page.js'
import { CreditsPage } from './credits/credits-page.js'
import type { PageProps } from './page-props.js'
import { RunsPage } from './runs/runs-page.js'
import type { Session } from './session/session.js'
import { TalkPage } from './talk/talk-page.js'

/** A page of the console, by the first part of its address. */
export interface Place { name: string, title: string, page: ComponentType<PageProps>, isForAdmins?: boolean }

const PLACES: readonly Place[] = [
  { name: 'talk', title: 'Talk', page: TalkPage },
  { name: 'runs', title: 'Runs', page: RunsPage },
  { name: 'agents', title: 'Agents', page: AgentsPage },
  { name: 'keys', title: 'API keys', page: KeysPage },
  { name: 'credits', title: 'Credits', page: CreditsPage },
  { name: 'admin', title: 'Administration', page: AdminPage, isForAdmins: true }
]

/** What a user may open. */
export function placesFor ({ isAdmin }: Session): readonly Place[] {
  return PLACES.filter(({ isForAdmins }) => !isForAdmins || isAdmin !== false)
}

export function pageOf (name: string): ComponentType<PageProps> {
  return (PLACES.find(place => place.name === name) ?? PLACES[0]!).page
}
