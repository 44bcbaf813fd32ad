// Following what changes on the server (GET /api/v1/events). By fetch instead of EventSource, which cannot send a token.

import { request } from "./client.js";

const firstPause = 1000, longestPause = 30000;

/** Calls `event` for every block of a stream of server-sent events, until it ends. */
async function read(stream, event) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) event(Object.fromEntries(block.split(/\r?\n/).filter((line) => !line.startsWith(":"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()])));
  }
}

/**
 * Follows for as long as the page is looked at: a hidden one gives its connection back. `changed()` after each change, and
 * whenever some may have been missed; `connected(yes)` when following begins or breaks off.
 */
export function follow(changed, connected) {
  let last = null, pause = firstPause, current = null;

  async function once(signal) {
    const response = await request("api/v1/events", { signal, headers: last ? { "Last-Event-ID": last } : {} });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    connected(true);
    changed(); /* what happened before the first event */
    await read(response.body, ({ event, id }) => {
      pause = firstPause;
      if (id) last = id;
      if (event) changed();
    });
  }

  async function keep() {
    while (!document.hidden) {
      current = new AbortController();
      await once(current.signal).catch(() => {});
      connected(false);
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(2 * pause, longestPause);
    }
    current = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) current?.abort();
    else if (!current) { pause = firstPause; keep(); }
  });
  keep();
}
