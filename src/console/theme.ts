import { useEffect, useState } from 'preact/hooks'
import { html, type VNode } from './base/html.js'

const KEY = 'jeesi-console:theme'
const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const
const NAMES = { auto: 'Auto', light: 'Light', dark: 'Dark' } as const
type Name = keyof typeof NEXT

/** Chooses between light and dark, or what the system says. */
export function Theme (): VNode {
  const [name, setName] = useState<Name>(read)
  useEffect(() => {
    document.documentElement.dataset.theme = name
    try {
      localStorage.setItem(KEY, name)
    } catch {}
  }, [name])
  return html`<button class="link" title="Light, dark, or as the system has it" onClick=${() => setName(NEXT[name])}>Colours: ${NAMES[name].toLowerCase()}</button>`
}

function read (): Name {
  try {
    const name = localStorage.getItem(KEY)
    return name === 'light' || name === 'dark' ? name : 'auto'
  } catch {
    return 'auto'
  }
}
