import { html, type VNode } from './html.js'
import { numberText } from './format.js'

const WIDTH = 600
const HEIGHT = 150

/** A point of a curve: when, in milliseconds, and how much. */
export interface Point { at: number, value: number }

/** A value over time that changes in steps, such as a balance. */
export function StepChart ({ points, label }: { points: readonly Point[], label: string }): VNode | null {
  if (points.length < 2) return null
  const [from, to] = [points[0]!.at, points.at(-1)!.at]
  const most = Math.max(1, ...points.map(({ value }) => value))
  const x = (at: number) => WIDTH * (at - from) / Math.max(to - from, 1)
  const y = (value: number) => HEIGHT - HEIGHT * value / most
  const path = points.map(({ at, value }, index) => index === 0 ? `M0 ${y(value)}` : `H${x(at).toFixed(1)}V${y(value).toFixed(1)}`).join('')
  return html`<svg class="chart" viewBox=${`0 -8 ${WIDTH} ${HEIGHT + 12}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    ${[0, 0.5, 1].map(part => html`<line key=${part} class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT * part} y2=${HEIGHT * part} />`)}
    <path class="area" d=${`${path}V${HEIGHT}H0Z`} /><path class="curve" d=${path} /></svg>`
}

/** A bar: its whole value, and the part of it that is bad. */
export interface Bar { name: string, value: number, bad?: number }

/** A value for each of some days. */
export function BarChart ({ bars, label }: { bars: readonly Bar[], label: string }): VNode {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const width = WIDTH / bars.length
  const height = (value: number) => HEIGHT * value / most
  return html`<svg class="chart bars" viewBox=${`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    <line class="grid" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
    ${bars.map(({ name, value, bad = 0 }, index) => html`<g key=${name}><title>${name}: ${numberText(value)}</title>
      <rect class="bar" x=${index * width + 1} width=${Math.max(width - 2, 1)} y=${HEIGHT - height(value)} height=${height(value)} rx="1" />
      ${bad > 0 && html`<rect class="bar bad" x=${index * width + 1} width=${Math.max(width - 2, 1)} y=${HEIGHT - height(bad)} height=${height(bad)} rx="1" />`}</g>`)}</svg>
    <p class="ends" aria-hidden="true"><small>${bars[0]?.name}</small><small>${bars.at(-1)?.name}</small></p>`
}
