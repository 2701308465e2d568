import { useState } from 'preact/hooks'
import { Form, needNumber } from '../base/form.js'
import { dateText, numberText, shortId, whenText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Badge, Empty, Failure, Head, Input, Loading } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import { addressOf } from '../base/router.js'
import { Balance, type Credits, Entries, loadChart } from '../credits/credits-page.js'
import type { PageProps } from '../page-props.js'

interface User { userId: string, email: string | null, createdAt: string | null, isAdmin: boolean, credits: Credits }
interface UserPage { users: User[], nextCursor: string | null }

/** Everybody who has an account, with their balances. */
export function UsersPart ({ session }: PageProps): VNode {
  const [typed, setTyped] = useState('')
  const [email, setEmail] = useState('')
  const pages = usePages(email)
  const users = useLoad(() => session.api.get<UserPage>('/api/admin/users', { limit: 25, email, cursor: pages.cursor }), [session, email, pages.cursor])
  const search = (event: Event) => {
    event.preventDefault()
    setEmail(typed.trim())
  }
  const make = async (address: string) => {
    await session.api.post('/api/admin/users', { email: address })
    users.reload()
  }
  return html`<form class="toolbar" onSubmit=${search}><input type="search" aria-label="E-mail begins with" placeholder="E-mail begins with …" value=${typed} onInput=${(event: Event) => setTyped((event.target as HTMLInputElement).value)} /><button>Search</button></form>
    ${!session.hasProject && html`<${NewUserForm} onMake=${make} />`}<${Failure} error=${users.error} onRetry=${users.reload} />
    ${!users.data ? !users.error && html`<${Loading} />` : users.data.users.length === 0 ? html`<${Empty} title="There is no such user." />` : html`<${UserTable} users=${users.data.users} /><${Pager} pages=${pages} next=${users.data.nextCursor} />`}`
}

/** Beside a project its Auth makes users. */
function NewUserForm ({ onMake }: { onMake: (email: string) => Promise<void> }): VNode {
  const [email, setEmail] = useState('')
  const make = async () => {
    await onMake(email.trim())
    setEmail('')
  }
  return html`<details class="card"><summary>Make a user</summary><${Form} onSave=${make} label="Make">
    <${Input} label="E-mail" type="email" required value=${email} onInput=${setEmail} hint="Has the credits of a new user, and signs in as the others do." /><//></details>`
}

function UserTable ({ users }: { users: readonly User[] }): VNode {
  return html`<table class="table"><thead><tr><th>User</th><th>Plan</th><th class="number">To spend</th><th class="number">Held</th><th class="number">Used this month</th><th>Since</th></tr></thead><tbody>
    ${users.map(({ userId, email, isAdmin, createdAt, credits }) => html`<tr key=${userId}>
      <td data-label="User"><span><a href=${addressOf(`admin/users/${userId}`)}>${email ?? shortId(userId)}</a> ${isAdmin && html`<${Badge}>admin<//>`}</span></td><td data-label="Plan">${credits.planType}</td>
      <td data-label="To spend" class="number">${numberText(credits.creditsRemaining)}</td><td data-label="Held" class="number">${numberText(credits.creditsReserved)}</td>
      <td data-label="Used this month" class="number">${numberText(credits.creditsUsedThisMonth)}</td><td data-label="Since" class="fixed" title=${dateText(createdAt)}>${whenText(createdAt)}</td></tr>`)}</tbody></table>`
}

/** A user's balance and ledger, and credits up and down. */
export function UserView ({ session, userId }: PageProps & { userId: string }): VNode {
  const path = `/api/admin/users/${userId}/ledger`
  const [version, setVersion] = useState(0)
  const ledger = useLoad(() => loadChart(session.api, path), [session, path, version])
  const give = async (credits: number, reason: string, key: string) => {
    await session.api.post(`/api/admin/users/${userId}/credits`, { credits, reason }, { 'idempotency-key': key })
    setVersion(version + 1)
  }
  return html`<${Head} title=${`User ${shortId(userId)}`} sub=${html`<span class="mono">${userId}</span>`}><a class="button" href=${addressOf('admin/runs', { user: userId })}>Runs</a><a class="button quiet" href="#/admin/users">All users</a><//>
    <${GrantForm} onGive=${give} /><${Failure} error=${ledger.error} onRetry=${ledger.reload} />
    ${!ledger.data ? !ledger.error && html`<${Loading} />` : html`<${Balance} ledger=${ledger.data} /><${Entries} key=${version} api=${session.api} path=${path} />`}`
}

function GrantForm ({ onGive }: { onGive: (credits: number, reason: string, key: string) => Promise<void> }): VNode {
  const [credits, setCredits] = useState('')
  const [reason, setReason] = useState('')
  // The same until it has worked: who presses twice after a broken connection gives once.
  const [key, setKey] = useState(() => crypto.randomUUID())
  const give = async () => {
    const number = needNumber(credits, 'Credits')
    if (!number || !Number.isInteger(number)) throw new Error('Credits must be a whole number other than 0.')
    await onGive(number, reason.trim(), key)
    setKey(crypto.randomUUID())
    setCredits('')
  }
  return html`<div class="card"><h2>Give or take credits</h2><${Form} onSave=${give} label="Enter">
    <div class="two"><${Input} label="Credits" required inputmode="numeric" value=${credits} onInput=${setCredits} hint="Below zero: so many are taken." /><${Input} label="Reason" required value=${reason} onInput=${setReason} hint="Stands in the ledger." /></div><//></div>`
}
