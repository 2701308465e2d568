import { errors } from '../errors.ts'

/**
 * Refuses a part of a request by its place, such as `messages.0.content`, and what is wrong with it.
 * @throws {ServiceError} bad_request, with both in `details`.
 */
export function refuse (path: string, message: string): never {
  throw errors.badRequest(`${path} ${message}.`).with({ details: [{ path, message }] })
}
