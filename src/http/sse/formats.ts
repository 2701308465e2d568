import { createAgUiFormat } from './ag-ui/format.js'
import { createChatFormat } from './chat-format.js'
import type { History, StreamedRun, StreamFormat } from './format.js'
import { jeesiFormat } from './jeesi-format.js'
import { createResponsesFormat } from './responses-format.js'
import { createUiFormat } from './ui-format.js'

/**
 * The formats in which an HTTP client can be streamed a run. A new one is a file of its own, which makes a StreamFormat,
 * its name here, and its line in the table. Readers share what a format has encoded where it is the same object for them.
 */
export type StreamFormatName = 'jeesi' | 'chat' | 'chatWithUsage' | 'responses' | 'uiMessages' | 'agUi'

export const STREAM_FORMATS: Record<StreamFormatName, (run: StreamedRun, history: History) => StreamFormat> = {
  jeesi: () => jeesiFormat,
  chat: run => createChatFormat(run, false),
  chatWithUsage: run => createChatFormat(run, true),
  responses: run => createResponsesFormat(run.asResponse!),
  uiMessages: createUiFormat,
  agUi: createAgUiFormat
}
