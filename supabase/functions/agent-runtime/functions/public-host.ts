import { ToolError } from '../../_shared/functions/tool-error.ts'
import { familyOf, isExcepted, isPublic, type PrivateHost } from '../../_shared/http/addresses.ts'

/** Names that are never public: those without a dot, as containers have them, and those that are for networks of one's own. */
const PRIVATE_NAME = /^[^.]+$|\.(?:localhost|local|internal|lan|home\.arpa)$/

/** Reads the URL of a webhook. @throws {ToolError} if webhooks may not be sent to such a URL. */
export function parsePublicUrl (text: string): URL {
  if (!URL.canParse(text.trim())) throw new ToolError('The webhook_url is no valid URL.')
  const url = new URL(text.trim())
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new ToolError('The webhook_url does not begin with http:// or https://.')
  if (url.username || url.password) throw new ToolError('The webhook_url has a user name or password in it.')
  return url
}

/**
 * Refuses a URL whose host is not public, by its name and by all addresses that it resolves to. The runtime resolves the
 * name once more to connect, and lets nobody choose the address: a name whose address changes in between is not noticed.
 * @throws {ToolError}
 */
export async function refusePrivateHost ({ hostname, protocol, port }: URL, exceptions: readonly PrivateHost[]): Promise<void> {
  const host = hostname.replace(/^\[|\]$|\.$/g, '').toLowerCase()
  const number = Number(port) || (protocol === 'https:' ? 443 : 80)
  const addresses = familyOf(host) ? [host] : await resolve(host)
  const isAllowed = (address: string) => isPublic(address) || isExcepted(exceptions, host, address, number)
  // Without an address only the name can be judged.
  const isPrivateName = addresses.length === 0 && PRIVATE_NAME.test(host) && !exceptions.some(exception => exception.host === host)
  if (isPrivateName || !addresses.every(isAllowed)) throw new ToolError(`${host} is not at a public address, and webhooks may only go to such.`)
}

/** The addresses of a name; none if there are none, or if the runtime does not resolve names: it will refuse to connect, or cannot be asked. */
async function resolve (name: string): Promise<string[]> {
  const lookUp = async (type: 'A' | 'AAAA') => Deno.resolveDns(name, type, { signal: AbortSignal.timeout(3_000) })
  const found = await Promise.allSettled([lookUp('A'), lookUp('AAAA')])
  return found.flatMap(result => result.status === 'fulfilled' ? result.value : [])
}
