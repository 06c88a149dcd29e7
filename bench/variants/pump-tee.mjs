// JS pump over a branch of a tee whose other branch is cancelled: a branch hands out all that has arrived at once.

import { closes } from "./look.mjs";

async function pump(from, to) {
  const [branch, other] = from.tee();
  other.cancel();
  const reader = branch.getReader({ mode: "byob" });
  const writer = to.getWriter();
  let buffer = new Uint8Array(65536);
  try {
    for (;;) {
      const { value, done } = await reader.read(buffer);
      if (done) return await writer.close();
      closes(value);
      await writer.write(value);
      buffer = new Uint8Array(value.buffer);
    }
  } catch (why) {
    await Promise.allSettled([reader.cancel(why), writer.abort(why)]);
  }
}

export default {
  async fetch(request, env, ctx) {
    const answer = await fetch(env.UPSTREAM, request);
    const { readable, writable } = new IdentityTransformStream();
    ctx.waitUntil(pump(answer.body, writable));
    return new Response(readable, answer);
  },
};
