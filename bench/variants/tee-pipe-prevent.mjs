// As tee-pipe, with preventAbort and preventClose, the writable closed by hand.

import { closes } from "./look.mjs";

async function meter(copy, gone) {
  const reader = copy.getReader({ mode: "byob" });
  gone.catch((why) => reader.cancel(why));
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
    const { readable, writable } = new IdentityTransformStream();
    const piped = client.pipeTo(writable, { preventAbort: true, preventClose: true }).then(() => writable.close());
    ctx.waitUntil(piped.catch(() => {}));
    ctx.waitUntil(meter(copy, piped));
    return new Response(readable, answer);
  },
};
