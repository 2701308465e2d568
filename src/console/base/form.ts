import { useState } from 'preact/hooks'
import { type Children, html, type VNode } from './html.js'
import { Failure } from './parts.js'

interface FormProps { onSave: () => Promise<unknown>, label?: string, children?: Children, more?: Children }

/** A form with a button that saves, and says what was refused or that it was saved. */
export function Form ({ onSave, label = 'Save', children, more }: FormProps): VNode {
  const [state, setState] = useState<{ error?: unknown, isBusy?: boolean, isSaved?: boolean }>({})
  const submit = async (event: Event) => {
    event.preventDefault()
    setState({ isBusy: true })
    try {
      await onSave()
      setState({ isSaved: true })
    } catch (error) {
      setState({ error })
    }
  }
  return html`<form onSubmit=${submit} onInput=${() => state.isSaved && setState({})}>${children}<${Failure} error=${state.error} />
    <div class="actions"><button class="primary" disabled=${state.isBusy}>${label}</button>${more}<span role="status">${state.isSaved && 'Saved.'}</span></div></form>`
}

/** A number as it is typed; undefined if it is none, null if there is nothing. */
function readNumber (text: string): number | null | undefined {
  const trimmed = text.trim()
  if (trimmed === '') return null
  const number = Number(trimmed.replace(',', '.'))
  return Number.isFinite(number) ? number : undefined
}

/** @throws a sentence that names the field. */
export function needNumber (text: string, label: string): number | null {
  const number = readNumber(text)
  if (number === undefined) throw new Error(`${label} must be a number.`)
  return number
}

/** The JSON that is typed; undefined if there is nothing. @throws a sentence that names the field. */
export function needJson (text: string, label: string): unknown {
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${label} is no valid JSON.`)
  }
}
