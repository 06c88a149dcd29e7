// JS ReadableStream of the plain type: one pull, one read, one enqueue a chunk, nothing queued ahead.

import { closes } from "./look.mjs";

export default {
  async fetch(request, env) {
    const answer = await fetch(env.UPSTREAM, request);
    const reader = answer.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        const { value, done } = await reader.read();
        if (done) return controller.close();
        closes(value);
        controller.enqueue(value);
      },
      cancel: (why) => reader.cancel(why),
    }, { highWaterMark: 0 });
    return new Response(body, answer);
  },
};
