import { transform, transformMessage } from '#shared/functions/data-transform.ts'
import type { FunctionKind } from '../function-kind.js'
import { asText } from './parameters.js'

/** A transformation {transform_type, template} of `{{data}}`. */
export const dataTransform: FunctionKind = {
  trigger: transformMessage,
  call: ({ config }, { values }) => transform(config, asText(values.data), values),
  open: null
}
