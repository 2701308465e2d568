import { dateText, whenText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Failure, Loading } from '../base/parts.js'
import { Pager, usePages } from '../base/pages.js'
import type { PageProps } from '../page-props.js'

interface Act { id: number, adminId: string, adminEmail: string | null, action: string, userId: string | null, userEmail: string | null, details: unknown, createdAt: string }

/** What admins did and looked at. */
export function ActionsPart ({ session }: PageProps): VNode {
  const pages = usePages('')
  const acts = useLoad(() => session.api.get<{ actions: Act[], nextCursor: number | null }>('/api/admin/actions', { limit: 50, cursor: pages.cursor }), [session, pages.cursor])
  if (!acts.data) return acts.error ? html`<${Failure} error=${acts.error} onRetry=${acts.reload} />` : html`<${Loading} />`
  return html`<${Failure} error=${acts.error} onRetry=${acts.reload} /><table class="table"><thead><tr><th>When</th><th>Admin</th><th>What</th><th>Whom</th><th>More</th></tr></thead><tbody>
    ${acts.data.actions.map(({ id, createdAt, adminEmail, adminId, action, userEmail, userId, details }) => html`<tr key=${id}><td data-label="When" class="fixed" title=${dateText(createdAt)}>${whenText(createdAt)}</td>
      <td data-label="Admin">${adminEmail ?? adminId.slice(0, 8)}</td><td data-label="What">${action.replaceAll('_', ' ')}</td><td data-label="Whom">${userEmail ?? userId?.slice(0, 8) ?? '–'}</td>
      <td data-label="" class="cut-text mono">${textOf(details)}</td></tr>`)}</tbody></table><${Pager} pages=${pages} next=${acts.data.nextCursor} />`
}

function textOf (details: unknown): string {
  const text = JSON.stringify(details)
  return text === '{}' ? '' : text.slice(0, 300)
}
