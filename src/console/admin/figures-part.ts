import { BarChart } from '../base/chart.js'
import { dayText, numberText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Failure, Loading } from '../base/parts.js'
import { addressOf } from '../base/router.js'
import type { PageProps } from '../page-props.js'

interface Day { day: string, runs: number, failed: number, tokens: number, credits: number }
interface Busy { userId: string, email: string | null, running: number, waiting: number }
interface Figures { days: Day[], users: Busy[] }
interface Stats { total_users: number, total_agents: number, active_users: number, total_credits_used: number, credits_used_this_week: number, agents_this_week: number }

/** The platform in figures. */
export function FiguresPart ({ session }: PageProps): VNode {
  const loaded = useLoad(async () => {
    const [stats, figures] = await Promise.all([session.api.get<Stats>('/api/admin/stats'), session.api.get<Figures>('/api/admin/figures', { days: 30 })])
    return { stats, figures }
  }, [session])
  if (!loaded.data) return loaded.error ? html`<${Failure} error=${loaded.error} onRetry=${loaded.reload} />` : html`<${Loading} />`
  const { stats, figures: { days, users } } = loaded.data
  const facts: Array<[string, number]> = [['Users', stats.total_users], ['Agents', stats.total_agents], ['Have used credits', stats.active_users], ['Credits used', stats.total_credits_used], ['This week', stats.credits_used_this_week]]
  return html`<dl class="figures">${facts.map(([name, value]) => html`<div class="figure" key=${name}><dt>${name}</dt><dd>${numberText(value)}</dd></div>`)}</dl>
    <div class="charts"><${DayChart} days=${days} title="Runs a day" of="runs" /><${DayChart} days=${days} title="Tokens a day" of="tokens" /><${DayChart} days=${days} title="Credits a day" of="credits" /></div>
    <section class="card"><div class="chart-title"><h2>Under way now</h2><button class="quiet" onClick=${loaded.reload}>Look again</button></div><${BusyUsers} users=${users} /></section>`
}

function DayChart ({ days, title, of }: { days: readonly Day[], title: string, of: 'runs' | 'tokens' | 'credits' }): VNode {
  const sum = days.reduce((sum, day) => sum + day[of], 0)
  const failed = days.reduce((sum, day) => sum + day.failed, 0)
  const bars = days.map(day => ({ name: dayText(`${day.day}T12:00:00Z`), value: day[of], bad: of === 'runs' ? day.failed : 0 }))
  const text = `${numberText(sum)} in ${days.length} days${of === 'runs' && failed > 0 ? `, ${numberText(failed)} failed` : ''}`
  return html`<section class="card"><div class="chart-title"><h2>${title}</h2><small>${text}</small></div><${BarChart} bars=${bars} label=${`${title}: ${text}`} /></section>`
}

function BusyUsers ({ users }: { users: readonly Busy[] }): VNode {
  if (users.length === 0) return html`<p class="hint">Nobody has a run under way or waiting.</p>`
  return html`<table class="table"><thead><tr><th>User</th><th class="number">Running</th><th class="number">Waiting</th></tr></thead><tbody>
    ${users.map(({ userId, email, running, waiting }) => html`<tr key=${userId}><td data-label="User"><a href=${addressOf('admin/runs', { user: userId })}>${email ?? userId}</a></td>
      <td data-label="Running" class="number">${numberText(running)}</td><td data-label="Waiting" class="number">${numberText(waiting)}</td></tr>`)}</tbody></table>`
}
