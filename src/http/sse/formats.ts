import type { StreamFormat } from './format.js'
import { jeesiFormat } from './jeesi-format.js'

/**
 * The formats in which an HTTP client can be streamed a run. A new one is a file of its own, which exports a StreamFormat,
 * its name here, and its line in the table.
 */
export type StreamFormatName = 'jeesi'

export const STREAM_FORMATS: Record<StreamFormatName, StreamFormat> = {
  jeesi: jeesiFormat
}
