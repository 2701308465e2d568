/** What a promise resolves to, or another value if it has not within so many milliseconds, or rejects. */
export function within<T> (ms: number, promise: Promise<T>, otherwise: () => T): Promise<T> {
  return new Promise(resolve => {
    const timer = setTimeout(() => resolve(otherwise()), ms)
    promise.then(resolve, () => resolve(otherwise())).finally(() => clearTimeout(timer))
  })
}
