// JS pump that reads ahead while a write is under way and writes all that has come in one piece.

import { closes } from "./look.mjs";

function joined(pieces) {
  if (pieces.length === 1) return pieces[0];
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function pump(from, to) {
  const reader = from.getReader();
  const writer = to.getWriter();
  let waiting = [];
  let writing = null;
  let failed = null;
  const flush = () => {
    if (writing || waiting.length === 0) return;
    const bytes = joined(waiting);
    waiting = [];
    writing = writer.write(bytes).then(
      () => { writing = null; flush(); },
      (why) => { failed = why; reader.cancel(why); },
    );
  };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (failed) throw failed;
      if (done) break;
      closes(value);
      waiting.push(value);
      flush();
    }
    while (writing) await writing;
    await writer.close();
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
