// As pump-tee, but after a chunk that came within 1 ms of the last one waits 1 ms, so that a burst comes in large pieces.

import { closes } from "./look.mjs";

async function pump(from, to) {
  const [branch, other] = from.tee();
  other.cancel();
  const reader = branch.getReader({ mode: "byob" });
  const writer = to.getWriter();
  let last = 0;
  let buffer = new Uint8Array(65536);
  try {
    for (;;) {
      const { value, done } = await reader.read(buffer);
      if (done) return await writer.close();
      closes(value);
      await writer.write(value);
      const now = Date.now();
      if (now - last < 1) await scheduler.wait(1);
      last = now;
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
