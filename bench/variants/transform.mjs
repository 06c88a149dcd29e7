// JS TransformStream, for comparison.

import { closes } from "./look.mjs";

export default {
  async fetch(request, env) {
    const answer = await fetch(env.UPSTREAM, request);
    const look = new TransformStream({
      transform(chunk, controller) {
        closes(chunk);
        controller.enqueue(chunk);
      },
    });
    return new Response(answer.body.pipeThrough(look), answer);
  },
};
