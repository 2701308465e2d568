import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Empty, Failure, Head, Loading, Select } from '../base/parts.js'
import { addressOf, go, replace } from '../base/router.js'
import { useStore } from '../base/store.js'
import { whenText } from '../base/format.js'
import type { PageProps } from '../page-props.js'
import type { Agent } from '../session/rows.js'
import type { Chat, Chats } from './chats.js'
import { TurnView } from './turn-view.js'

/** Within so many pixels of the end the page follows what is written. */
const NEAR_END = 120

/** Conversations with agents, one of them open. */
export function TalkPage ({ session, chats, route }: PageProps): VNode {
  useStore(chats)
  const agents = useLoad(() => session.rows.agents(), [session])
  const chat = chats.find(route.path[1])
  const wanted = route.query.get('agent') ?? undefined
  return html`<div class="talk">
    <nav class="chats" aria-label="Conversations">
      <a class="button primary" href="#/talk">New conversation</a>
      <ul>${chats.chats.map(other => html`<${ChatLink} key=${other.id} chat=${other} isOpen=${other === chat} isBusy=${chats.isBusy(other)} />`)}</ul>
    </nav>
    <section class="conversation" aria-label="Conversation">
      ${agents.error && !agents.data && html`<${Failure} error=${agents.error} onRetry=${agents.reload} />`}
      ${chat ? html`<${Conversation} key=${chat.id} chat=${chat} chats=${chats} />` : html`<${Beginning} key=${wanted} agents=${agents.data} wanted=${wanted} chats=${chats} />`}
    </section></div>`
}

function ChatLink ({ chat, isOpen, isBusy }: { chat: Chat, isOpen: boolean, isBusy: boolean }): VNode {
  const title = chat.turns[0]?.question ?? 'Empty'
  return html`<li><a href=${addressOf(`talk/${chat.id}`)} aria-current=${isOpen ? 'page' : undefined}>
    <span class="chat-title">${isBusy && html`<i class="pulse" role="img" aria-label="is being answered"></i>`}${title.slice(0, 80)}</span>
    <small>${chat.agentName} · ${whenText(new Date(chat.at).toISOString())}</small></a></li>`
}

/** A conversation that is not there yet. */
function Beginning ({ agents, wanted, chats }: { agents: Agent[] | undefined, wanted: string | undefined, chats: Chats }): VNode {
  const [chosen, setChosen] = useState(wanted)
  if (!agents) return html`<${Head} title="Talk" /><${Loading} />`
  const known = wanted && !agents.some(({ id }) => id === wanted) ? [{ id: wanted, name: `Agent ${wanted.slice(0, 8)}`, description: null }, ...agents] : agents
  const agent = known.find(({ id }) => id === chosen) ?? known[0]
  if (!agent) {
    return html`<${Head} title="Talk" /><${Empty} title="There is no agent to talk to yet."><a class="button primary" href="#/agents/new">Make an agent</a><//>`
  }
  const ask = (question: string) => {
    const chat = chats.begin(agent.id, agent.name)
    chats.ask(chat, question)
    replace(addressOf(`talk/${chat.id}`))
  }
  return html`<div class="beginning"><${Head} title="Talk" sub="Choose an agent, and ask. The answer goes on if you leave the page." />
    <${Select} label="Agent" value=${agent.id} onInput=${setChosen} options=${known.map(({ id, name }) => [id, name])} hint=${agent.description} />
    <${Composer} onAsk=${ask} isBusy=${false} /></div>`
}

function Conversation ({ chat, chats }: { chat: Chat, chats: Chats }): VNode {
  const isBusy = chats.isBusy(chat)
  const end = useRef<HTMLDivElement>(null)
  const follows = useRef(true)
  useEffect(() => {
    const look = () => { follows.current = document.documentElement.scrollHeight - scrollY - innerHeight < NEAR_END }
    addEventListener('scroll', look, { passive: true })
    return () => removeEventListener('scroll', look)
  }, [])
  useLayoutEffect(() => { if (follows.current) scrollTo(0, document.documentElement.scrollHeight) })
  const last = chat.turns.length - 1
  const remove = () => {
    chats.remove(chat)
    go('#/talk')
  }
  return html`<${Head} title=${chat.agentName}><button class="quiet" onClick=${remove} disabled=${isBusy}>Remove</button><//>
    <ol class="turns">${chat.turns.map((turn, index) => html`<${TurnView} key=${turn.key} turn=${turn} answer=${chats.answerOf(turn)}
      onAgain=${index === last && !isBusy ? () => chats.askAgain(chat) : undefined} />`)}</ol>
    <div ref=${end}></div>
    <${Composer} isBusy=${isBusy} onStop=${() => chats.stop(chat)} onAsk=${(question: string) => {
      follows.current = true
      chats.ask(chat, question)
    }} />`
}

/** Where questions are written. */
function Composer ({ onAsk, onStop, isBusy }: { onAsk: (question: string) => void, onStop?: () => void, isBusy: boolean }): VNode {
  const [text, setText] = useState('')
  const input = useRef<HTMLTextAreaElement>(null)
  useEffect(() => { if (matchMedia('(min-width: 45rem)').matches) input.current?.focus({ preventScroll: true }) }, [])
  const ask = (event: Event) => {
    event.preventDefault()
    if (isBusy || text.trim() === '') return
    onAsk(text)
    setText('')
  }
  const press = (event: KeyboardEvent) => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) ask(event) }
  return html`<form class="composer" onSubmit=${ask}>
    <textarea ref=${input} rows=${2} aria-label="Your message" placeholder="Write a message …" value=${text} onKeyDown=${press}
      onInput=${(event: Event) => setText((event.target as HTMLTextAreaElement).value)}></textarea>
    ${isBusy ? html`<button type="button" class="stop" onClick=${onStop}>Stop</button>` : html`<button class="primary" disabled=${text.trim() === ''}>Send</button>`}</form>`
}
