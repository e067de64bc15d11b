// Reads an AG-UI run as it arrives: one call for each event, with the time at which its bytes were read. Knows nothing of
// the page.

/** How a run ended. `clean` is false when the connection broke off instead of finishing. */
/** @typedef {{ clean: boolean, failure?: Error }} Ending */

/**
 * Splits a stream of text into its events' data. Events end at an empty line; LF, CRLF and CR all end lines.
 * @param {(data: string) => void} each
 */
export function splitter(each) {
  let rest = "";
  return (text) => {
    rest += text;
    // A CR at the very end may be half of a CRLF: it waits for what follows.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      // Comments (weir's keep-alive is one) start with a colon and are no events. AG-UI writes one data line per event.
      if (line.startsWith("data:")) each(line.slice(5).trimStart());
    }
  };
}

/**
 * @param {Response} response
 * @param {(event: object, arrived: number, data: string) => void} each
 * @returns {Promise<Ending>}
 */
export async function readRun(response, each) {
  let arrived = 0;
  const push = splitter((data) => each(JSON.parse(data), arrived, data));
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      arrived = performance.now();
      if (done) return { clean: true };
      push(decoder.decode(value, { stream: true }));
    }
  } catch (failure) {
    return { clean: false, failure };
  }
}

/** The middle of some numbers; undefined of none. */
export function median(numbers) {
  if (numbers.length === 0) return undefined;
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
