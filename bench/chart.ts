import { METRICS, METRIC_NAMES, type MetricName } from './metrics.js'
import type { Result } from './result.js'
import { SUBJECTS } from './subjects/subject.js'
import { short } from './table.js'

const WIDTH = 420
const LABEL = 72
const BAR = 14
const GAP = 5
const HEAD = 26
const COLUMNS = 2
const MARGIN = 24
const OURS = '#0b6e4f'
const OTHERS = '#b8c4bb'
const INK = '#222'

/** Renders an SVG document with a bar chart for each figure that several subjects have. */
export function renderChart (result: Result): string {
  const panels = METRIC_NAMES.flatMap(metric => {
    const bars = barsOf(result, metric)
    return bars.length > 1 ? { title: METRICS[metric].title, bars } : []
  })
  const height = HEAD + SUBJECTS.length * (BAR + GAP) + MARGIN
  const rows = Math.ceil(panels.length / COLUMNS)
  const drawn = panels.map(({ title, bars }, index) => {
    const x = MARGIN + (index % COLUMNS) * (WIDTH + MARGIN)
    const y = MARGIN + Math.floor(index / COLUMNS) * height
    return `<g transform="translate(${x} ${y})">${renderPanel(title, bars)}</g>`
  })
  const size = { width: COLUMNS * (WIDTH + MARGIN) + MARGIN, height: rows * height + MARGIN }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" font-family="system-ui, sans-serif" font-size="11" fill="${INK}">
<rect width="100%" height="100%" fill="#fff"/>
${drawn.join('\n')}
<text x="${MARGIN}" y="${size.height - MARGIN / 2}">${escape(`${result.machine.cpu}, ${result.machine.cores} cores, Node ${result.machine.node}, ${result.when.slice(0, 10)}, ${result.commit}`)}</text>
</svg>
`
}

interface Bar { name: string, value: number }

function barsOf ({ metrics }: Result, metric: MetricName): Bar[] {
  return SUBJECTS.flatMap(name => {
    const figure = metrics[metric]?.[name]
    return figure ? { name, value: figure.median } : []
  })
}

function renderPanel (title: string, bars: Bar[]): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE)
  const room = WIDTH - LABEL - 60
  const lines = bars.map(({ name, value }, index) => {
    const y = HEAD + index * (BAR + GAP)
    const width = Math.max(1, Math.max(0, value) / most * room)
    return `<text x="0" y="${y + BAR - 3}">${name}</text>` +
      `<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${name === 'ours' ? OURS : OTHERS}"/>` +
      `<text x="${(LABEL + width + 6).toFixed(1)}" y="${y + BAR - 3}">${short(value)}</text>`
  })
  return `<text x="0" y="12" font-weight="600" font-size="12">${escape(title)}</text>${lines.join('')}`
}

function escape (text: string): string {
  return text.replace(/[&<>]/g, letter => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[letter]!)
}
