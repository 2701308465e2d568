/** A value in the text format of Prometheus. */
export interface Line { name: string, labels: Record<string, string>, value: number }

/** Reads the text format, as far as the service writes it. */
export function parseText (text: string): Line[] {
  return text.split('\n').filter(line => line && !line.startsWith('#')).map(line => {
    const [, name, labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line)!
    return { name: name!, labels: Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label!, value!])), value: Number(value) }
  })
}

/** The sum of the values of a name with these labels; undefined if there are none. */
export function valueOf (text: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const lines = parseText(text).filter(line => line.name === name && Object.entries(labels).every(([label, value]) => line.labels[label] === value))
  return lines.length === 0 ? undefined : lines.reduce((sum, { value }) => sum + value, 0)
}
