import { useEffect, useState } from 'preact/hooks'
import { Form, needJson } from '../base/form.js'
import { dateText, numberText, whenText } from '../base/format.js'
import { html, type VNode } from '../base/html.js'
import { useLoad } from '../base/load.js'
import { Badge, Check, Confirm, Failure, Input, Loading, Notice, Select } from '../base/parts.js'
import { addressOf } from '../base/router.js'
import type { Firing, Schedule } from '../session/rows.js'
import type { Session } from '../session/session.js'

const PRESETS = [['0 * * * *', 'Every hour'], ['0 9 * * *', 'Daily at 9'], ['0 18 * * *', 'Daily at 18'], ['0 9 * * 1', 'Mondays at 9'], ['0 9 * * 5', 'Fridays at 9'], ['0 9,18 * * *', 'Daily at 9 and 18'], ['', 'Something else']] as const
/** How often a schedule is looked at that the service still has to plan, in milliseconds. */
const LOOK_MS = 2000
const OUTPUTS = [['store', 'Keep it'], ['webhook', 'Send it to a webhook'], ['api_call', 'Post it to an API']] as const

/** When an agent runs by itself, and what came of it. */
export function SchedulePart ({ session, agentId }: { session: Session, agentId: string }): VNode {
  const [isPlanned, setPlanned] = useState(true)
  const schedules = useLoad(async () => (await session.rows.schedules()).find(({ agent_id }) => agent_id === agentId) ?? null, [session, agentId], { every: isPlanned ? 0 : LOOK_MS })
  useEffect(() => setPlanned(!schedules.data?.is_enabled || schedules.data.next_run_at !== null), [schedules.data])
  const firings = useLoad(() => session.rows.firings(agentId), [session, agentId])
  if (schedules.data === undefined) return schedules.error ? html`<${Failure} error=${schedules.error} onRetry=${schedules.reload} />` : html`<${Loading} />`
  const schedule = schedules.data ?? undefined
  const remove = async () => {
    await session.rows.remove('agent_schedules', schedule!.id)
    await schedules.reload()
  }
  return html`${schedule && html`<${Facts} schedule=${schedule} />`}
    <${ScheduleForm} key=${schedule?.id ?? 'new'} session=${session} agentId=${agentId} schedule=${schedule} onSaved=${schedules.reload}
      more=${schedule && html`<${Confirm} label="Delete" confirm="Delete the schedule" question="Delete the schedule with the list of what it did? Runs stay." onConfirm=${remove} />`} />
    <h2 class="section">What it did</h2><${Failure} error=${firings.error} onRetry=${firings.reload} /><${Firings} firings=${firings.data ?? []} />`
}

function Facts ({ schedule: { next_run_at: next, last_run_at: last, run_count: count, is_enabled: isOn, last_result: result } }: { schedule: Schedule }): VNode {
  return html`${result?.success === false && result.error && html`<${Notice} tone="warn">${result.error}<//>`}
    <dl class="figures"><div class="figure"><dt>Next</dt><dd class="word">${isOn ? next ? dateText(next) : 'being planned' : 'off'}</dd></div>
    <div class="figure"><dt>Last</dt><dd class="word">${dateText(last)}</dd></div><div class="figure"><dt>Runs</dt><dd>${numberText(count)}</dd></div></dl>`
}

interface FormProps { session: Session, agentId: string, schedule?: Schedule, onSaved: () => unknown, more?: VNode }

function ScheduleForm ({ session, agentId, schedule, onSaved, more }: FormProps): VNode {
  const [cron, setCron] = useState(schedule?.cron_expression ?? '0 9 * * *')
  const [zone, setZone] = useState(schedule?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone)
  const [prompt, setPrompt] = useState(schedule?.prompt_template ?? '')
  const [output, setOutput] = useState(schedule?.output_action ?? 'store')
  const [config, setConfig] = useState(JSON.stringify(schedule?.output_config ?? {}, undefined, 2))
  const [isOn, setOn] = useState(schedule?.is_enabled ?? true)
  const save = async () => {
    const output_config = needJson(config, 'Where to') as Record<string, unknown> ?? {}
    const row = { is_enabled: isOn, cron_expression: cron.trim(), timezone: zone.trim(), prompt_template: prompt, output_action: output, output_config }
    await session.rows.save('agent_schedules', schedule ? { id: schedule.id, ...row } : { agent_id: agentId, ...row })
    await onSaved()
  }
  const preset = PRESETS.find(([expression]) => expression === cron)?.[0] ?? ''
  return html`<${Form} onSave=${save} more=${more}><div class="card">
    <div class="two"><${Select} label="When" value=${preset} onInput=${(value: string) => value && setCron(value)} options=${PRESETS} />
      <${Input} label="Cron expression" code required value=${cron} onInput=${setCron} hint="Minute, hour, day, month, day of the week." />
      <${Input} label="Time zone" required value=${zone} onInput=${setZone} hint="Such as Europe/Helsinki." /></div>
    <${Input} label="What it is asked" rows=${3} required value=${prompt} onInput=${setPrompt} hint="With {{date}}, {{time}} and {{weekday}}." />
    <${Select} label="What becomes of the answer" value=${output} onInput=${setOutput} options=${OUTPUTS} />
    ${output !== 'store' && html`<${Input} label="Where to" rows=${4} code value=${config} onInput=${setConfig} hint="JSON: url, method, headers." />`}
    <${Check} label="On" hint="What was due while it was off is not made up for." checked=${isOn} onInput=${setOn} /></div><//>`
}

function Firings ({ firings }: { firings: readonly Firing[] }): VNode {
  if (firings.length === 0) return html`<p class="hint">Nothing yet.</p>`
  const tone = (status: string) => status === 'completed' ? 'good' : status === 'failed' ? 'bad' : 'wait'
  return html`<table class="table"><thead><tr><th>When</th><th>State</th><th class="number">Credits</th><th>Answer</th></tr></thead><tbody>
    ${firings.map(({ id, status, started_at: at, generated_content: text, error_message: error, credits_used: credits, run_id: runId }) => html`<tr key=${id}>
      <td data-label="When" class="fixed">${runId ? html`<a href=${addressOf(`runs/${runId}`)}>${whenText(at)}</a>` : whenText(at)}</td>
      <td data-label="State"><${Badge} tone=${tone(status)}>${status}<//></td><td data-label="Credits" class="number">${numberText(credits)}</td>
      <td data-label="" class="cut-text">${error ?? text?.slice(0, 200)}</td></tr>`)}</tbody></table>`
}
