/**
 * What a run costs, in credits. A run that brought forth nothing costs nothing, however it ended; one that did
 * costs what was reserved for it.
 */
export function priceOf ({ reserved, output }: { reserved: number, output: boolean }): number {
  return output ? reserved : 0
}
