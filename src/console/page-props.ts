import type { Route } from './base/router.js'
import type { Session } from './session/session.js'
import type { Chats } from './talk/chats.js'

/** What every page is given. */
export interface PageProps { session: Session, chats: Chats, route: Route }
