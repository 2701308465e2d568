import { useEffect, useState } from 'preact/hooks'
import { sizeText } from './format.js'
import { type Children, html, type VNode } from './html.js'

/** Characters that are shown at once: a browser lays out a few hundred thousand without a pause. */
const MAX_SHOWN = 60_000

/** A text of a model or a user, set as text. @param isWhole whether it is all there; while it is written its end is shown. */
export function Text ({ text, isWhole = true, name = 'answer' }: { text: string, isWhole?: boolean, name?: string }): VNode {
  const [isOpen, setOpen] = useState(false)
  const isCut = text.length > MAX_SHOWN && !isOpen
  const shown = !isCut ? text : isWhole ? text.slice(0, MAX_SHOWN) : text.slice(-MAX_SHOWN)
  return html`${isCut && !isWhole && html`<p class="hint">The last part of ${sizeText(text.length)} characters:</p>`}
    <div class="text">${blocksOf(shown)}</div>
    ${isCut && isWhole && html`<div class="cut"><span>${sizeText(text.length)} characters in all.</span>
      <button class="quiet" onClick=${() => setOpen(true)}>Show all</button><${Download} text=${text} name=${name} /></div>`}`
}

function Download ({ text, name }: { text: string, name: string }): VNode {
  const [address, setAddress] = useState<string>()
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([text], { type: 'text/plain' }))
    setAddress(made)
    return () => URL.revokeObjectURL(made)
  }, [text])
  return html`<a class="button quiet" href=${address} download=${`${name}.txt`}>Download</a>`
}

/** Code between fences stands in a block of its own; the rest is as it was written. */
function blocksOf (text: string): Children {
  const parts = text.split(/^```[^\n]*\n?/m)
  if (parts.length === 1) return inlineOf(text)
  return parts.map((part, index) => index % 2 === 1 ? html`<pre key=${index} tabindex="0"><code>${part.replace(/\n$/, '')}</code></pre>` : html`<span key=${index}>${inlineOf(betweenCode(part, index === parts.length - 1))}</span>`)
}

/** Without the line break behind the block of code before it, and without those before the next one. No expression: one would look from each of a thousand breaks to the end. */
function betweenCode (part: string, isLast: boolean): string {
  const begin = part.startsWith('\n') ? 1 : 0
  if (isLast) return part.slice(begin)
  let end = part.length
  while (end > begin && part[end - 1] === '\n') end--
  return part.slice(begin, end)
}

/** What is between backticks or two asterisks, of short texts: the rest is not worth the search. */
function inlineOf (text: string): Children {
  if (text.length > 20_000) return text
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part, index) =>
    index % 2 === 0 ? part : part.startsWith('`') ? html`<code key=${index}>${part.slice(1, -1)}</code>` : html`<strong key=${index}>${part.slice(2, -2)}</strong>`)
}
