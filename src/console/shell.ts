import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { html, type VNode } from './base/html.js'
import { Failure, Loading } from './base/parts.js'
import { type Route, useRoute } from './base/router.js'
import { useStore } from './base/store.js'
import { pageOf, type Place, placesFor } from './places.js'
import { ask } from './session/api.js'
import { current, DemoSignIn, type Session, type Settings, type SignIn, TokenSignIn } from './session/session.js'
import { SignInPage } from './session/sign-in.js'
import { Chats } from './talk/chats.js'
import { Theme } from './theme.js'

/** The console: who is not signed in signs in, everybody else has pages. */
export function App (): VNode {
  useStore(current)
  const [start, setStart] = useState<Start>()
  const [error, setError] = useState<unknown>()
  const open = async () => {
    setError(undefined)
    try {
      const start = await readStart()
      current.set(await start.signIn.resume())
      setStart(start)
    } catch (failure) {
      setError(failure)
    }
  }
  useEffect(() => { open() }, [])
  // Who may sign in may have changed since: admins make users.
  const isLeft = start?.settings.signIn === 'demo' && current.session === undefined
  useEffect(() => {
    if (isLeft) readStart().then(setStart, () => {})
  }, [isLeft])
  if (!start) return html`<main class="sign-in">${error ? html`<${Failure} error=${error} onRetry=${open} />` : html`<${Loading} />`}</main>`
  return current.session
    ? html`<${Shell} key=${current.session.userId} session=${current.session} version=${start.settings.version} />`
    : html`<${SignInPage} settings=${start.settings} signIn=${start.signIn} />`
}

interface Start { settings: Settings, signIn: SignIn }

async function readStart (): Promise<Start> {
  const settings = await (await ask('GET', '/api/console')).json() as Settings
  return { settings, signIn: await signInOf(settings) }
}

/** What signs in beside a project is loaded only there. */
async function signInOf ({ signIn, users, supabaseUrl, supabaseKey }: Settings): Promise<SignIn> {
  if (signIn === 'demo') return new DemoSignIn(users)
  if (signIn === 'token') return new TokenSignIn()
  const { SupabaseSignIn } = await import('./session/supabase.js')
  return new SupabaseSignIn(supabaseUrl!, supabaseKey!)
}

function Shell ({ session, version }: { session: Session, version: string }): VNode {
  const route = useRoute()
  const chats = useMemo(() => new Chats(session), [session])
  useEffect(() => () => chats.close(), [chats])
  const main = useRef<HTMLElement>(null)
  const place = route.path[0] ?? 'talk'
  const places = placesFor(session)
  // Who reads by ear or by keyboard begins at the page's title.
  const isFirst = useRef(true)
  useEffect(() => {
    if (!isFirst.current) main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
    isFirst.current = false
  }, [route.path.join('/')])
  const skip = (event: Event) => {
    event.preventDefault()
    main.current?.focus()
  }
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the page</a>
    <div class="shell"><${Side} places=${places} place=${place} session=${session} version=${version} />
    <main ref=${main} id="content" tabindex="-1"><${Connection} />${html`<${pageOf(place)} session=${session} chats=${chats} route=${route as Route} />`}</main></div>`
}

function Side ({ places, place, session, version }: { places: readonly Place[], place: string, session: Session, version: string }): VNode {
  const leave = async () => {
    await session.end()
    current.set(undefined)
  }
  return html`<aside class="side"><p class="brand"><span class="mark" aria-hidden="true"></span>jeesi</p>
    <nav aria-label="Pages"><ul>${places.map(({ name, title }) => html`<li key=${name}><a href=${`#/${name}`} aria-current=${name === place ? 'page' : undefined}>${title}</a></li>`)}</ul></nav>
    <div class="who"><span class="who-name" title=${session.name}>${session.name}</span>
      <div class="who-actions"><${Theme} /><button class="link" onClick=${leave}>Sign out</button></div><small class="version">Version ${version}</small></div></aside>`
}

/** Says that the browser is offline; what is shown stays. */
function Connection (): VNode | null {
  const [isOnline, setOnline] = useState(navigator.onLine)
  useEffect(() => {
    const update = () => setOnline(navigator.onLine)
    addEventListener('online', update)
    addEventListener('offline', update)
    return () => {
      removeEventListener('online', update)
      removeEventListener('offline', update)
    }
  }, [])
  return isOnline ? null : html`<div class="notice warn" role="status">There is no connection. Runs go on without you, and this page goes on when it is back.</div>`
}
