import type { ChatView } from './chat.js'
import { STYLE } from './style.js'
import type { Turn } from './store.js'

export interface ViewOptions { theme: 'light' | 'dark', position: 'bottom-right' | 'bottom-left' | 'inline' }

/** Within so many pixels of the end the log follows what is written. */
const NEAR_END = 60

/** The widget's elements, in a shadow of their own. All texts are set as text: no answer becomes HTML. */
export class View implements ChatView {
  readonly #root: ShadowRoot
  readonly #panel = element('section', 'panel', { 'aria-label': 'Chat' })
  readonly #log = element('div', 'log', { role: 'log', 'aria-live': 'polite', tabindex: '0' })
  readonly #progress = element('div', 'progress', { role: 'status' })
  readonly #sentence = element('div', '')
  readonly #bar = element('progress', '')
  readonly #input = element('textarea', '', { 'aria-label': 'Your message', placeholder: 'Write a message …', rows: '1' })
  readonly #send = element('button', '', { type: 'submit' }, 'Send')
  readonly #stop = element('button', '', { type: 'button' }, 'Stop')
  readonly #toggle = element('button', 'toggle', { type: 'button', 'aria-expanded': 'false' }, 'Chat')
  #pending: { question: HTMLElement, answer: HTMLElement } | undefined

  constructor (host: HTMLElement, { theme, position }: ViewOptions, onAsk: (question: string) => void, onStop: () => void) {
    host.dataset.theme = theme
    host.dataset.position = position
    this.#root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
    const sheet = new CSSStyleSheet()
    sheet.replaceSync(STYLE)
    this.#root.adoptedStyleSheets = [sheet]
    const form = element('form', '')
    form.append(this.#input, this.#send, this.#stop)
    this.#progress.append(this.#sentence, this.#bar)
    this.#panel.append(this.#log, this.#progress, form)
    const frame = element('div', 'frame')
    frame.append(this.#panel, this.#toggle)
    this.#root.replaceChildren(frame)
    this.#panel.hidden = position !== 'inline'
    this.#toggle.hidden = position === 'inline'
    this.showProgress('')
    this.setBusy(false)
    this.#listen(form, onAsk, onStop)
  }

  showTurns (turns: Turn[]): void {
    this.#pending = undefined
    this.#log.replaceChildren(...turns.flatMap(({ question, answer, state }) => [said('mine', question), said(state, answer || '…')]))
    this.#log.scrollTop = this.#log.scrollHeight
  }

  showPending (question: string, answer: string): void {
    if (!this.#pending) {
      this.#pending = { question: said('mine', question), answer: said('pending', '') }
      this.#log.append(this.#pending.question, this.#pending.answer)
    }
    const isAtEnd = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END
    this.#pending.answer.textContent = answer
    this.#pending.answer.hidden = answer === ''
    if (isAtEnd || answer === '') this.#log.scrollTop = this.#log.scrollHeight
  }

  showProgress (sentence: string, fraction?: number): void {
    this.#progress.hidden = sentence === ''
    this.#sentence.textContent = sentence
    this.#bar.hidden = fraction === undefined
    if (fraction !== undefined) this.#bar.value = fraction
  }

  setBusy (isBusy: boolean): void {
    this.#send.hidden = isBusy
    this.#stop.hidden = !isBusy
    this.#stop.disabled = false
  }

  remove (): void {
    this.#root.replaceChildren()
  }

  #listen (form: HTMLFormElement, onAsk: (question: string) => void, onStop: () => void): void {
    const ask = (event: Event) => {
      event.preventDefault()
      if (this.#send.hidden) return
      const question = this.#input.value
      if (question.trim() === '') return
      this.#input.value = ''
      onAsk(question)
    }
    form.addEventListener('submit', ask)
    this.#input.addEventListener('keydown', event => { if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) ask(event) })
    this.#stop.addEventListener('click', () => {
      this.#stop.disabled = true
      onStop()
    })
    this.#toggle.addEventListener('click', () => this.#open(this.#panel.hidden))
    this.#panel.addEventListener('keydown', event => { if (event.key === 'Escape' && !this.#toggle.hidden) this.#open(false) })
  }

  #open (isOpen: boolean): void {
    this.#panel.hidden = !isOpen
    this.#toggle.setAttribute('aria-expanded', String(isOpen))
    if (isOpen) this.#input.focus()
    else this.#toggle.focus()
  }
}

function said (kind: string, text: string): HTMLElement {
  return element('div', `said ${kind}`, {}, text)
}

function element<K extends keyof HTMLElementTagNameMap> (name: K, className: string, attributes: Record<string, string> = {}, text = ''): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  if (className) made.className = className
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value)
  made.textContent = text
  return made
}
