import type { AgentFunction } from '#shared/agent.ts'
import { configOf, textIn } from '../function-config.js'
import type { FunctionKind } from '../function-kind.js'
import { fillText, type TemplateValues } from '../template.js'
import { ToolError } from '../tool.js'
import { extract, patternsIn } from './extract.js'
import { asText } from './parameters.js'

/** A transformation {transform_type, template} of `{{data}}`. */
export const dataTransform: FunctionKind = {
  trigger: {
    stage: 'before_model',
    replacesAnswer: false,
    run: (fn, { text, values }) => transform(configOf(fn), text, values)
  },
  call: ({ config }, { values }) => transform(config, asText(values.data), values),
  open: null
}

/**
 * Transforms data by the function's `transform_type`: `format` fills in the template. `extract` returns what the template
 * lists: emails, urls, numbers, dates. Any other template of `extract`, and each of `summarize`, is an instruction to the model.
 * @throws {ToolError} if the type is another one.
 */
function transform (config: AgentFunction['config'], data: string, values: TemplateValues): string {
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
