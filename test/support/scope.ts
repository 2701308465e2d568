/** Whether all that takes long is tested, as `npm run test:all` does; `npm test` takes a part that stands for the rest. */
export const IS_WHOLE = process.env.TEST_ALL === '1'

/** All of these, or the first and the last: of versions of a client the oldest that is promised and the newest. */
export function all<T> (values: readonly T[]): T[] {
  return values.filter((_, index) => IS_WHOLE || index === 0 || index === values.length - 1)
}

/** So often is tried what is random, or happens in an order of its own, each time otherwise: a quarter of it in `npm test`. */
export function often (times: number): number {
  return IS_WHOLE ? times : Math.ceil(times / 4)
}
