// JS pump as pump-identity, but the next read begins before the write has ended (one write in flight).

import { closes } from "./look.mjs";

async function pump(from, to) {
  const reader = from.getReader();
  const writer = to.getWriter();
  let writing;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      await writing;
      if (done) return await writer.close();
      closes(value);
      writing = writer.write(value);
      writing.catch((why) => reader.cancel(why));
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
