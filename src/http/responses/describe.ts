import type { FastifyInstance } from 'fastify'
import { errors } from '#shared/errors.ts'
import { finalEvent, isFinal } from '#shared/final-event.ts'
import { accessArguments, type RunAccess } from '#shared/http/caller.ts'
import type { FinalEvent, Run } from '#shared/schemas.ts'
import { type ResponseHead, runIdOf } from '../../contract/responses.js'
import type { Response } from '../../contract/responses-schemas.js'
import type { EventLog } from '../../executor/events/event-log.js'
import { ResponseRecorder } from './recorder.js'

/**
 * What is kept of a response, with its input where that is asked for.
 * @throws {ServiceError} response_not_found, also where it is somebody else's.
 */
export async function findResponse ({ database }: FastifyInstance, responseId: string, access: RunAccess, withInput = false) {
  const runId = runIdOf(responseId)
  if (runId === undefined) throw errors.responseNotFound()
  return { runId, kept: await database.call('get_response', { p_run_id: runId, ...accessArguments(access), p_with_input: withInput }) }
}

/**
 * A response as it stands.
 * @param run of which the log has the events if it has ended, as after `Runs.resume`.
 * @param final the run's last event, where it is known.
 */
export async function describeResponse (events: EventLog, run: Run, head: ResponseHead, final?: FinalEvent): Promise<Response> {
  const recorder = new ResponseRecorder(head)
  let last = 0
  for (const { seq, event } of await readEvents(events, run)) {
    // Of what the log has lost the end is known.
    if (isFinal(event)) final ??= event
    else recorder.take(last = seq, event)
  }
  if (run.finishedAt) final ??= finalEvent(run)
  if (final) recorder.take(last + 1, final)
  return recorder.hasEnded ? recorder.response() : recorder.response(run.status === 'queued' ? 'queued' : 'in_progress')
}

/** Those that are here, or else in Redis. */
async function readEvents (events: EventLog, { runId }: Run) {
  const held = events.entries(runId)
  return held.length > 0 ? held : events.readLatest(runId).catch(() => [])
}
