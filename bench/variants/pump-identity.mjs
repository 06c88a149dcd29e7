// JS pump: read, look, write to an IdentityTransformStream; one read and one write a chunk, both awaited.

import { closes } from "./look.mjs";

async function pump(from, to) {
  const reader = from.getReader();
  const writer = to.getWriter();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return await writer.close();
      closes(value);
      await writer.write(value);
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
