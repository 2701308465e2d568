import { useEffect, useRef, useState } from 'preact/hooks'
import { type Children, html, type VNode } from './html.js'
import { sentenceOf } from './load.js'

/** The head of a page: its title and what can be done there. */
export function Head ({ title, sub, children }: { title: string, sub?: Children, children?: Children }): VNode {
  useEffect(() => { document.title = `${title} · Console` }, [title])
  return html`<header class="head"><div><h1 tabindex="-1">${title}</h1>${sub && html`<p class="sub">${sub}</p>`}</div><div class="actions">${children}</div></header>`
}

const STATES: Readonly<Record<string, string>> = { queued: 'Waiting', running: 'Running', succeeded: 'Done', failed: 'Failed', cancelled: 'Stopped' }

/** The state of a run, in a word and a colour. */
export function State ({ status }: { status: string }): VNode {
  return html`<span class=${`state ${status}`}>${STATES[status] ?? status}</span>`
}

export function Badge ({ children, tone = '' }: { children?: Children, tone?: string }): VNode {
  return html`<span class=${`badge ${tone}`}>${children}</span>`
}

/** A failure, in a sentence. */
export function Failure ({ error, onRetry }: { error: unknown, onRetry?: () => void }): VNode | null {
  if (!error) return null
  return html`<div class="notice bad" role="alert"><span>${sentenceOf(error)}</span>${onRetry && html`<button class="quiet" onClick=${onRetry}>Try again</button>`}</div>`
}

export function Notice ({ children, tone = '' }: { children?: Children, tone?: string }): VNode {
  return html`<div class=${`notice ${tone}`} role="status">${children}</div>`
}

/** What a list says that has nothing in it. */
export function Empty ({ title, children }: { title: string, children?: Children }): VNode {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`
}

/** Stands where something is being loaded. */
export function Loading (): VNode {
  return html`<div class="loading" role="status"><span class="visually-hidden">Loading …</span><i></i><i></i><i></i></div>`
}

interface FieldProps { label: string, hint?: Children, children: (id: string) => VNode }

let fields = 0

/** A label above what it names. */
function Field ({ label, hint, children }: FieldProps): VNode {
  const [id] = useState(() => `field-${++fields}`)
  return html`<div class="field"><label for=${id}>${label}</label>${children(id)}${hint && html`<p class="hint">${hint}</p>`}</div>`
}

interface InputProps { label: string, value: string, onInput: (value: string) => void, hint?: Children, rows?: number, code?: boolean, [attribute: string]: unknown }

/** A line of text, or with `rows` several. */
export function Input ({ label, hint, value, onInput, rows, code, ...rest }: InputProps): VNode {
  const take = (event: Event) => onInput((event.target as HTMLInputElement).value)
  return html`<${Field} label=${label} hint=${hint}>${(id: string) => rows
    ? html`<textarea id=${id} class=${code ? 'code' : ''} rows=${rows} value=${value} onInput=${take} spellcheck=${code ? 'false' : 'true'} ...${rest}></textarea>`
    : html`<input id=${id} class=${code ? 'code' : ''} value=${value} onInput=${take} ...${rest} />`}<//>`
}

interface SelectProps { label: string, value: string, onInput: (value: string) => void, options: ReadonlyArray<readonly [value: string, text: string]>, hint?: Children, hidesLabel?: boolean }

export function Select ({ label, value, onInput, options, hint, hidesLabel }: SelectProps): VNode {
  const choice = (id?: string) => html`<select id=${id} aria-label=${hidesLabel ? label : undefined} value=${value}
    onChange=${(event: Event) => onInput((event.target as HTMLSelectElement).value)}>
    ${options.map(([name, text]) => html`<option key=${name} value=${name} selected=${name === value}>${text}</option>`)}</select>`
  return hidesLabel ? choice() : html`<${Field} label=${label} hint=${hint}>${choice}<//>`
}

export function Check ({ label, checked, onInput, hint, disabled }: { label: string, checked: boolean, onInput: (value: boolean) => void, hint?: Children, disabled?: boolean }): VNode {
  return html`<label class="check"><input type="checkbox" checked=${checked} disabled=${disabled}
    onChange=${(event: Event) => onInput((event.target as HTMLInputElement).checked)} /><span>${label}${hint && html`<small>${hint}</small>`}</span></label>`
}

/** A button whose work takes a while: it cannot be pressed twice, and says what failed. */
export function Action ({ onAct, children, tone = '', disabled, type = 'button' }: { onAct?: () => unknown, children?: Children, tone?: string, disabled?: boolean, type?: string }): VNode {
  const [isBusy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const isThere = useRef(true)
  useEffect(() => () => { isThere.current = false }, [])
  const act = async () => {
    if (!onAct) return
    setBusy(true)
    setError(undefined)
    try {
      await onAct()
    } catch (failure) {
      if (isThere.current) setError(failure)
    }
    if (isThere.current) setBusy(false)
  }
  return html`<span class="action"><button type=${type} class=${tone} disabled=${disabled || isBusy} aria-busy=${isBusy} onClick=${act}>${children}</button>
    ${error && html`<span class="inline-error" role="alert">${sentenceOf(error)}</span>`}</span>`
}

/** Asks before something that cannot be undone. */
export function Confirm ({ label, question, confirm, onConfirm }: { label: string, question: string, confirm: string, onConfirm: () => unknown }): VNode {
  const dialog = useRef<HTMLDialogElement>(null)
  const run = async () => {
    await onConfirm()
    dialog.current?.close()
  }
  return html`<button class="danger quiet" onClick=${() => dialog.current!.showModal()}>${label}</button>
    <dialog ref=${dialog} aria-label=${label}><p>${question}</p><div class="actions">
      <button class="quiet" onClick=${() => dialog.current!.close()}>Keep it</button><${Action} tone="danger" onAct=${run}>${confirm}<//></div></dialog>`
}
