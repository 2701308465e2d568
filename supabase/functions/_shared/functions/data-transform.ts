import type { AgentFunction } from '../agent.ts'
import { extract, patternsIn } from './extract.ts'
import { configOf, textIn } from './function-config.ts'
import { fillText, type TemplateValues } from './template.ts'
import { ToolError } from './tool-error.ts'
import type { RunsBeforeModel } from './triggered.ts'

/** A transformation {transform_type, template} of the message. */
export const transformMessage: RunsBeforeModel<unknown> = {
  stage: 'before_model',
  replacesAnswer: false,
  run: (fn, { text, values }) => transform(configOf(fn), text, values)
}

/**
 * Transforms data by the function's `transform_type`: `format` fills in the template. `extract` returns what the template
 * lists: emails, urls, numbers, dates. Any other template of `extract`, and each of `summarize`, is an instruction to the model.
 * @throws {ToolError} if the type is another one.
 */
export function transform (config: AgentFunction['config'], data: string, values: TemplateValues): string {
  const type = textIn(config, 'transform_type').trim().toLowerCase()
  const template = textIn(config, 'template')
  switch (type) {
    case 'format': return template.trim() === '' ? data : fillText(template, values)
    case 'extract': {
      const patterns = patternsIn(template)
      return patterns ? JSON.stringify(extract(data, patterns)) : instruction(template, data, values)
    }
    case 'summarize': return instruction(template.trim() === '' ? 'Summarize this: {{data}}' : template, data, values)
    default: throw new ToolError('The function\'s transform_type must be format, extract or summarize.')
  }
}

/** Appends the data if the template does not contain it: the model needs it to follow the instruction. */
function instruction (template: string, data: string, values: TemplateValues): string {
  const filled = fillText(template, values)
  return `Do this for your answer: ${/\{\{\s*(?:data|user_input)\s*\}\}/.test(template) ? filled : `${filled}\n${data}`}`
}
