// Asks the Account object as isolates do, as fast as it answers: a slice of each meter (lease), then what was used of
// it (settle), over and over. POST /drive {sessions, ms, accounts} answers {operations, ms, meters}; all else is the gateway's.

import gateway from "./gateway.mjs";
export { Account, Catalog } from "./gateway.mjs";

const SLICE = 10;
const utf8 = new TextEncoder();

export default {
  queue: gateway.queue,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/drive") return gateway.fetch(request, env, ctx);
    const { sessions, ms, accounts } = await request.json();
    const begun = Date.now();
    const done = await Promise.all(Array.from({ length: sessions }, () => session(env, accounts, begun + ms)));
    return Response.json({ operations: done.reduce((sum, { operations }) => sum + operations, 0), ms: Date.now() - begun, meters: done[0].meters });
  },
};

async function session(env, accounts, end) {
  const account = env.ACCOUNT.getByName("default");
  const session = crypto.randomUUID();
  const tell = async (message) => JSON.parse(await account.commit(utf8.encode(JSON.stringify({ session, since: 0, ...message }))));
  const { told } = await tell({ seq: 0, ask: { accounts } });
  const totals = new Map(told.meters.map(({ id, window }) => [id, { meter: id, window, used: 0, returned: 0 }]));
  let operations = 0;
  for (let seq = 1; Date.now() < end; seq++) {
    const wants = [...totals.values()].map(({ meter, window, used }) => ({ meter, window, base: used, need: SLICE, more: SLICE }));
    const { told } = await tell({ seq: 0, ask: { n: seq, wants } });
    for (const { id, window, granted } of told.meters) {
      const total = totals.get(id);
      if (granted < total.used + SLICE && window === total.window) throw new Error(`meter ${id} gave ${granted - total.used} of ${SLICE}`);
      totals.set(id, { meter: id, window, used: granted, returned: 0 });
    }
    await tell({ seq, totals: [...totals.values()] });
    operations += 2;
  }
  return { operations, meters: totals.size };
}
