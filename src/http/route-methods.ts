/** Which methods each address of the service takes, by the patterns of its routes. */
export class RouteMethods {
  readonly #routes = new Map<string, { isAt: RegExp, methods: Set<string> }>()

  /** @param url of a route, in which `:name` stands for a part of the path. */
  add (url: string, methods: readonly string[]): void {
    const route = this.#routes.get(url) ?? { isAt: new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`), methods: new Set() }
    for (const method of methods) route.methods.add(method)
    this.#routes.set(url, route)
  }

  /** The methods of an address, without those of other routes; none where there is nothing. @param url of a request, with its query. */
  at (url: string): string[] {
    const path = decode(url.replace(/[?#].*$/s, '').replace(/\/{2,}/g, '/'))
    return [...this.#routes.values()].flatMap(({ isAt, methods }) => isAt.test(path) ? [...methods] : []).sort()
  }
}

function decode (path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
