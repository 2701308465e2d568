import { Chat } from './chat.js'
import { Store } from './store.js'
import { createToken } from './token.js'
import { View, type ViewOptions } from './view.js'

/** As the platform's own widget takes them. */
export interface WidgetOptions extends Partial<ViewOptions> {
  agentId: string
  apiKey: string
  /** The whole address, such as `https://agents.example.com/api/agent/execute`. */
  apiUrl: string
  containerId?: string
}

const EXECUTE = '/api/agent/execute'
/** Where this file came from, which is the service. */
const ORIGIN = document.currentScript instanceof HTMLScriptElement ? new URL(document.currentScript.src).origin : undefined

let close = () => {}

/** Puts the widget into the page; a second call replaces it. Returns what takes it out again. */
function init ({ agentId, apiKey, apiUrl, containerId = 'jeesi-agent', theme = 'light', position = 'bottom-right' }: WidgetOptions): () => void {
  close()
  const url = serviceOf(apiUrl)
  const store = new Store(agentId)
  const view = new View(hostOf(containerId), { theme, position }, question => chat.ask(question), () => chat.stop())
  const chat = new Chat({ url, agentId, token: createToken(url, apiKey, store) }, store, view)
  chat.open()
  close = () => {
    chat.close()
    view.remove()
  }
  return close
}

/** An address that is not of `execute`, such as that of the edge function, says nothing of where runs are followed: that is where this file came from. */
function serviceOf (apiUrl: string): string {
  const { origin, pathname } = new URL(apiUrl, location.href)
  if (pathname.endsWith(EXECUTE)) return origin + pathname.slice(0, -EXECUTE.length)
  return ORIGIN ?? origin
}

function hostOf (id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found) return found
  const made = document.createElement('div')
  made.id = id
  document.body.append(made)
  return made
}

Object.assign(globalThis, { JeesiWidget: { init } })
