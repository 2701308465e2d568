import { useEffect, useReducer } from 'preact/hooks'

/** Something that pages show and that changes without them. */
export class Store {
  readonly #listeners = new Set<() => void>()

  subscribe (listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Tells all that show it. */
  changed (): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Shows a component anew whenever a store changes. */
export function useStore (store: Store): void {
  const [, update] = useReducer<number, void>(count => count + 1, 0)
  useEffect(() => {
    update()
    return store.subscribe(() => update())
  }, [store])
}
