// Media that a client names by address, for providers that take bytes alone: fetched from public addresses,
// and from no others, wherever they are redirected. The network is Miniflare's, with a host of our own in it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Response, fetch as fetchOut } from "miniflare";
import { DIALECTS, registerDialects } from "../support/dialects.mjs";
import { answers } from "../support/fake-provider.mjs";
import { leaks, startMiniflare } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const PICTURE = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");
const BASE64 = PICTURE.toString("base64");
const HOST = "https://pictures.example";
const png = (body, headers) => new Response(body, { headers: { "content-type": "image/png", ...headers } });
const to = (location) => new Response(null, { status: 302, headers: { location } });

describe("on Miniflare", { concurrency: 4 }, () => {
  let world;
  let inside;
  let models = 0;
  const fetched = [];
  const calledInside = [];
  const pages = {
    "/a.png": () => png(PICTURE),
    "/moved": () => to("/a.png"),
    "/page": () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    "/gone": () => new Response("gone", { status: 404 }),
    "/round": () => to("/round"),
    "/to-inside": () => to(inside),
    "/to-metadata": () => to("http://169.254.169.254/latest/meta-data"),
    "/to-file": () => to("file:///etc/passwd"),
    "/huge": () => png(new Uint8Array(21 << 20)),
  };
  const outboundService = async (request) => {
    const url = new URL(request.url);
    fetched.push(request.url);
    if (url.origin === HOST) return pages[url.pathname]();
    return fetchOut(request);
  };
  let secret;
  before(async () => {
    secret = createServer((request, response) => {
      calledInside.push(request.url);
      response.end("inside");
    }).listen(0, "127.0.0.1");
    await once(secret, "listening");
    inside = `http://127.0.0.1:${secret.address().port}/inside`;
    world = await startWorld(startMiniflare, { outboundService });
    await registerDialects(world, "-d");
  });
  after(async () => {
    secret.close();
    await world.stop();
  });

  const modelOf = (dialect) => world.model([answers(DIALECTS[dialect].whole("a cat"))], { name: `v${++models}`, providers: [`${dialect}-d`] });
  const see = (model, ...urls) => world.chat({ model, messages: [{ role: "user", content: [{ type: "text", text: "What is it?" }, ...urls.map((url) => ({ type: "image_url", image_url: { url } }))] }] });

  // Where each format has the bytes.
  const bytes = {
    bedrock: ({ messages }) => messages[0].content[1].image.source.bytes,
    ollama: ({ messages }) => messages[0].images[0],
    gemini: ({ contents }) => contents[0].parts[1].inlineData.data,
    vertex: ({ contents }) => contents[0].parts[1].inlineData.data,
  };
  for (const [dialect, read] of Object.entries(bytes)) {
    for (const path of ["/a.png?x=1", "/moved"]) {
      test(`${dialect} gets the bytes of ${path}`, async () => {
        const model = await modelOf(dialect);
        const answer = await see(model, HOST + path);
        assert.equal(answer.status, 200, answer.text);
        assert.equal(read(world.received(model)[0].body), BASE64);
      });
    }
  }

  test("the same address is fetched once, and not at all for who takes addresses", async () => {
    const model = await modelOf("bedrock");
    const url = `${HOST}/a.png?once`;
    assert.equal((await see(model, url, url)).status, 200);
    assert.equal(fetched.filter((one) => one === url).length, 1);
    const other = await modelOf("anthropic");
    const untouched = `${HOST}/a.png?untouched`;
    assert.equal((await see(other, untouched)).status, 200);
    assert.deepEqual(world.received(other)[0].body.messages[0].content[1].source, { type: "url", url: untouched });
    assert.ok(!fetched.includes(untouched));
  });

  const refused = [
    "INSIDE", "http://127.0.0.1/x.png", "http://localhost/x.png", "http://169.254.169.254/latest/meta-data", "http://[::1]/x.png", "http://2130706433/x.png", "http://10.0.0.1/x.png",
    `${HOST}/to-inside`, `${HOST}/to-metadata`, `${HOST}/to-file`, `${HOST}/gone`, `${HOST}/round`, `${HOST}/page`, `${HOST}/huge`,
  ];
  for (const address of refused) {
    test(`${address} is refused, and nobody is called`, async () => {
      const model = await modelOf("bedrock");
      const url = address === "INSIDE" ? inside : address;
      const answer = await see(model, url);
      assert.deepEqual([answer.status, answer.body.error.code], [400, "media_unavailable"], answer.text);
      assert.ok(!answer.text.includes("169.254") && !answer.text.includes("inside"), "what was found on the way is not told");
      assert.deepEqual(leaks(answer.text), []);
      assert.equal(world.received(model).length, 0);
      assert.ok(!fetched.some((one) => /169\.254|\/inside|localhost\/x|10\.0\.0\.1/.test(one)), `${fetched}`);
      assert.deepEqual(calledInside, []);
    });
  }
});
