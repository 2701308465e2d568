import { express } from './express.js'
import { nginx } from './nginx.js'
import { aisdk, pipe, reencode } from './node.js'
import { ours } from './ours.js'
import { portkey } from './portkey.js'
import type { Subject, SubjectName } from './subject.js'

export const subjects: Record<SubjectName, Subject> = { ours, pipe, reencode, nginx, express, aisdk, portkey }
