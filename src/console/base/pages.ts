import { useEffect, useState } from 'preact/hooks'
import { html, type VNode } from './html.js'

/** Where in a list one is: a page at a time, however long the list is. */
export interface Pages {
  /** Of the page before; undefined for the first page. */
  cursor: string | undefined
  number: number
  next (cursor: string | number): void
  back (): void
}

/** @param key what the list depends on: with another one it begins anew. */
export function usePages (key: string): Pages {
  const [cursors, setCursors] = useState<readonly string[]>([])
  useEffect(() => setCursors([]), [key])
  return {
    cursor: cursors.at(-1),
    number: cursors.length + 1,
    next: cursor => setCursors([...cursors, String(cursor)]),
    back: () => setCursors(cursors.slice(0, -1))
  }
}

export function Pager ({ pages, next }: { pages: Pages, next: string | number | null }): VNode | null {
  if (pages.number === 1 && next === null) return null
  return html`<nav class="pager" aria-label="Pages of the list"><button class="quiet" disabled=${pages.number === 1} onClick=${pages.back}>Newer</button>
    <small>Page ${pages.number}</small><button class="quiet" disabled=${next === null} onClick=${() => pages.next(next!)}>Older</button></nav>`
}
