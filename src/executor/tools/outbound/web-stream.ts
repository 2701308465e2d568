import type { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'

/** What a `Response` takes for a body: the two type declarations of web streams differ in members that nothing here uses. */
export type WebBody = ConstructorParameters<typeof Response>[0]

/** A stream as a web stream. `Readable.toWeb` of Node 20 throws, to nobody, if one is cancelled that ends at the same time. */
export function toWebStream (readable: Readable): WebBody {
  const chunks = readable[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return new ReadableStream<Uint8Array>({
    async pull (controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel () {
      readable.on('error', () => {}).destroy()
    }
  }, { highWaterMark: 0 }) as unknown as WebBody
}
