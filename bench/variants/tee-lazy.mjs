// tee: one branch to the client natively, the copy read every 100 ms.

import { closes } from "./look.mjs";

async function meter(copy) {
  const reader = copy.getReader({ mode: "byob" });
  let buffer = new Uint8Array(65536);
  for (;;) {
    await scheduler.wait(100);
    const { value, done } = await reader.read(buffer);
    if (done) return;
    closes(value);
    buffer = new Uint8Array(value.buffer);
  }
}

export default {
  async fetch(request, env, ctx) {
    const answer = await fetch(env.UPSTREAM, request);
    const [client, copy] = answer.body.tee();
    ctx.waitUntil(meter(copy));
    return new Response(client, answer);
  },
};
