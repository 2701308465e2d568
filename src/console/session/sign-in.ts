import { useState } from 'preact/hooks'
import { html, type VNode } from '../base/html.js'
import { Action, Badge, Failure, Input, Notice } from '../base/parts.js'
import { current, type Settings, type SignIn } from './session.js'

/** The page of who has not signed in. */
export function SignInPage ({ settings, signIn }: { settings: Settings, signIn: SignIn }): VNode {
  const begin = async (credentials: Parameters<SignIn['begin']>[0]) => current.set(await signIn.begin(credentials))
  const form = settings.signIn === 'demo'
    ? html`<${DemoForm} settings=${settings} begin=${begin} />`
    : settings.signIn === 'supabase' ? html`<${PasswordForm} begin=${begin} />` : html`<${TokenForm} begin=${begin} />`
  return html`<main class="sign-in"><div class="card">
    <p class="brand"><span class="mark" aria-hidden="true"></span>jeesi</p>
    <h1>Sign in to the console</h1>
    ${current.reason === 'expired' && html`<${Notice} tone="warn">Your session has ended. Sign in again: what you were doing is still there.<//>`}
    ${form}</div></main>`
}

type Begin = (credentials: Parameters<SignIn['begin']>[0]) => Promise<void>

function DemoForm ({ settings, begin }: { settings: Settings, begin: Begin }): VNode {
  return html`<p class="sub">This service runs on its own database with demo users. Choose who you are.</p>
    <ul class="people">${settings.users.map(({ userId, email, isAdmin }) => html`<li key=${userId}>
      <${Action} tone="person" onAct=${() => begin({ userId })}><span>${email ?? userId}</span>${isAdmin && html`<${Badge}>admin<//>`}<//></li>`)}</ul>`
}

function PasswordForm ({ begin }: { begin: Begin }): VNode {
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  return html`<${Form} onSubmit=${() => begin({ email, password })}>
    <${Input} label="E-mail" type="email" autocomplete="username" required value=${email} onInput=${setEmail} />
    <${Input} label="Password" type="password" autocomplete="current-password" required value=${password} onInput=${setPassword} />
  <//>`
}

function TokenForm ({ begin }: { begin: Begin }): VNode {
  const [token, setToken] = useState('')
  return html`<p class="sub">Paste an access token. Where the secret is known, <code>npm run --silent token</code> prints one. It is kept in this tab alone.</p>
    <${Form} onSubmit=${() => begin({ token })}>
      <${Input} label="Access token" rows=${4} code required value=${token} onInput=${setToken} autocomplete="off" />
    <//>`
}

function Form ({ onSubmit, children }: { onSubmit: () => Promise<void>, children?: unknown }): VNode {
  const [error, setError] = useState<unknown>()
  const [isBusy, setBusy] = useState(false)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    await onSubmit().catch(failure => {
      setError(failure)
      setBusy(false)
    })
  }
  return html`<form class="stack" onSubmit=${submit}>${children}<${Failure} error=${error} /><button class="primary" disabled=${isBusy}>Sign in</button></form>`
}
