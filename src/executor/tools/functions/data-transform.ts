import type { AgentFunction } from '#shared/agent.ts'
import { textIn } from '../function-config.js'
import { fillText, type Values } from '../template.js'
import { ToolError } from '../tool.js'
import { extract, kindsIn } from './extract.js'

/**
 * What a function {transform_type, template} makes of `{{data}}`. `format` fills in the template. `extract` pulls out
 * what the template lists: emails, urls, numbers, dates; a template that is a sentence is an instruction to the model,
 * as is that of `summarize`.
 * @throws {ToolError} where the type is none of these.
 */
export function transform (config: AgentFunction['config'], data: string, values: Values): string {
  const type = textIn(config, 'transform_type').trim().toLowerCase()
  const template = textIn(config, 'template')
  switch (type) {
    case 'format': return template.trim() === '' ? data : fillText(template, values)
    case 'extract': {
      const kinds = kindsIn(template)
      return kinds ? JSON.stringify(extract(data, kinds)) : instruction(template, data, values)
    }
    case 'summarize': return instruction(template.trim() === '' ? 'Summarize this: {{data}}' : template, data, values)
    default: throw new ToolError('The function\'s transform_type must be format, extract or summarize.')
  }
}

/** The model cannot do what it is told to without the data. */
function instruction (template: string, data: string, values: Values): string {
  const filled = fillText(template, values)
  return `Do this for your answer: ${/\{\{\s*(?:data|user_input)\s*\}\}/.test(template) ? filled : `${filled}\n${data}`}`
}
