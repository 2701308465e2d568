import type { Experiment } from './experiment.js'
import { memory1000, memory5000 } from './memory.js'
import { readers, socket } from './readers.js'
import { runs, startup } from './runs.js'
import { sql } from './sql.js'
import { burst, paced2000, paced500, saturated } from './tokens.js'

export const experiments: Experiment[] = [saturated, burst, paced500, paced2000, memory1000, memory5000, runs, sql, startup, readers, socket]
