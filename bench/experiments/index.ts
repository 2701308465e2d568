import type { Experiment } from './experiment.js'
import { memory1000, memory5000 } from './memory.js'
import { readers, socket } from './readers.js'
import { runs, startup } from './runs.js'
import { sql } from './sql.js'
import { slow5000 } from './slow.js'
import { burst, burst200, paced2000, paced500, saturated, saturated200 } from './tokens.js'

export const experiments: Experiment[] = [saturated, burst, saturated200, burst200, paced500, paced2000, slow5000, memory1000, memory5000, runs, sql, startup, readers, socket]
