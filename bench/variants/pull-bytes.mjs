// JS ReadableStream of type bytes: one pull, one read, one enqueue a chunk.

import { closes } from "./look.mjs";

export default {
  async fetch(request, env) {
    const answer = await fetch(env.UPSTREAM, request);
    const reader = answer.body.getReader();
    const body = new ReadableStream({
      type: "bytes",
      async pull(controller) {
        const { value, done } = await reader.read();
        if (done) {
          controller.close();
          controller.byobRequest?.respond(0);
          return;
        }
        closes(value);
        controller.enqueue(value);
      },
      cancel: (why) => reader.cancel(why),
    });
    return new Response(body, answer);
  },
};
