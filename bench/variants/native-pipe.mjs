// Native pipe through an IdentityTransformStream, no copy.

export default {
  async fetch(request, env, ctx) {
    const answer = await fetch(env.UPSTREAM, request);
    const { readable, writable } = new IdentityTransformStream();
    ctx.waitUntil(answer.body.pipeTo(writable).catch(() => {}));
    return new Response(readable, answer);
  },
};
