// How the gateway shows providers who it is: signatures that the provider can compute again, tokens that are
// fetched once and again when they are refused, and no secret anywhere else.
import assert from "node:assert/strict";
import { createHash, createHmac, createVerify, generateKeyPairSync } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/chat.mjs";
import { CREDENTIAL } from "../support/common.mjs";
import { DIALECTS, wholeOf } from "../support/dialects.mjs";
import { answers, fails, streams } from "../support/fake-provider.mjs";
import { leaks, startWorkerd } from "../support/gateway.mjs";
import { startWorld } from "../support/world.mjs";

const AWS = { type: "aws", access_key_id: "AKIDEXAMPLE", secret_access_key: `${CREDENTIAL}-aws/+=`, session_token: `${CREDENTIAL}-session` };
const EMAIL = "gateway@a-project.iam.example";
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048, privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } });
const ACCOUNT = { type: "google_service_account", json: { type: "service_account", project_id: "a-project", private_key_id: "k1", client_email: EMAIL, private_key: privateKey } };
const ENTRA = { type: "entra", tenant_id: "a-tenant", client_id: "an-app", client_secret: `${CREDENTIAL}-entra &=` };

const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

// Signature Version 4 of a request as it arrived (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
function signature({ headers, path, raw }, region) {
  const [, scope, names] = /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/([^,]+), SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$/.exec(headers.authorization);
  const moment = headers["x-amz-date"];
  assert.equal(scope, `${moment.slice(0, 8)}/${region}/bedrock/aws4_request`);
  // Each segment of the path is encoded once more than it was for sending.
  const canonicalPath = path.split("/").map(encodeURIComponent).join("/");
  const canonical = ["POST", canonicalPath, "", ...names.split(";").map((name) => `${name}:${headers[name].trim()}`), "", names, sha(raw)].join("\n");
  const key = scope.split("/").reduce(hmac, `AWS4${AWS.secret_access_key}`);
  return { names: names.split(";"), right: hmac(key, ["AWS4-HMAC-SHA256", moment, scope, sha(canonical)].join("\n")).toString("hex") };
}

const tokens = (name) => {
  let given = 0;
  return (exchange) => answers({ access_token: `${CREDENTIAL}-${name}-${++given}`, expires_in: 3599, token_type: "Bearer" })(exchange);
};

describe("on workerd", () => {
  let world;
  let models = 0;
  before(async () => {
    world = await startWorld(startWorkerd);
    const { origin } = world.fake;
    const row = (dialect, credential, more) => ({ ...DIALECTS[dialect].row(origin), credential, ...more });
    world.fake.when("/token/google", tokens("google"));
    world.fake.when("/token/entra", tokens("entra"));
    world.fake.when("/token/refused", answers({ error: "invalid_client", error_description: `no such secret: ${CREDENTIAL}-entra` }, { status: 401 }));
    await world.provider("aws", row("bedrock", AWS));
    await world.provider("google", row("vertex", ACCOUNT, { token_url: `${origin}/token/google` }));
    await world.provider("entra", row("azure-openai", ENTRA, { token_url: `${origin}/token/entra` }));
    await world.provider("refused", row("azure-openai", ENTRA, { token_url: `${origin}/token/refused` }));
    await world.provider("fixed", row("openai", { type: "header", name: "X-Own-Key", value: `${CREDENTIAL}-own` }));
    await world.provider("oauth", row("anthropic", { type: "bearer", value: `sk-ant-oat-${CREDENTIAL}` }));
    await world.provider("spare", row("openai", { type: "bearer", value: `${CREDENTIAL}-spare` }));
  });
  after(() => world.stop());

  const modelAt = (providers, behaviours, prefix = "c") => world.model(behaviours, { name: `${prefix}${++models}`, providers });

  for (const stream of [false, true]) {
    test(`an AWS signature is right, ${stream ? "stream" : "whole"}`, async () => {
      const { bedrock } = DIALECTS;
      const model = await modelAt(["aws"], [stream ? streams(wholeOf(bedrock, ["fine"]), { headers: { "content-type": bedrock.type } }) : answers(bedrock.whole("fine"))], "us.amazon.nova-v1:");
      assert.equal((await world.chat(ask(model, { stream, temperature: 0.5 }))).status, 200);
      const [exchange] = world.received(model);
      assert.match(exchange.path, /^\/model\/us\.amazon\.nova-v1%3A\d+-1\/converse(-stream)?$/);
      const { names, right } = signature(exchange, "eu-central-1");
      assert.ok(exchange.headers.authorization.endsWith(`Signature=${right}`), exchange.headers.authorization);
      for (const name of ["host", "x-amz-date", "x-amz-security-token"]) assert.ok(names.includes(name), name);
      assert.equal(exchange.headers["x-amz-security-token"], AWS.session_token);
      assert.ok(!JSON.stringify(exchange.headers).includes(AWS.secret_access_key));
    });
  }

  test("a service account's token is fetched once, kept, and fetched again when it is refused", async () => {
    const { vertex } = DIALECTS;
    let refuse = false;
    const model = await modelAt(["google"], [(exchange) => (refuse ? answers(vertex.error("expired"), { status: 401 }) : answers(vertex.whole("fine")))(exchange)]);
    for (let n = 0; n < 3; n++) assert.equal((await world.chat(ask(model))).status, 200);
    assert.deepEqual(world.received(model).map(({ headers }) => headers.authorization), Array(3).fill(`Bearer ${CREDENTIAL}-google-1`));
    refuse = true;
    const refused = await world.chat(ask(model));
    assert.deepEqual([refused.status, refused.body.error.code, leaks(refused.text)], [502, "provider_credential", []]);
    refuse = false;
    assert.equal((await world.chat(ask(model))).status, 200);
    assert.equal(world.received(model).at(-1).headers.authorization, `Bearer ${CREDENTIAL}-google-2`);

    const asked = world.fake.received("/token/google");
    assert.equal(asked.length, 2);
    for (const { raw, headers } of asked) {
      assert.equal(headers["content-type"], "application/x-www-form-urlencoded");
      const form = new URLSearchParams(raw.toString());
      assert.equal(form.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
      const [head, claims, signed] = form.get("assertion").split(".");
      assert.ok(createVerify("RSA-SHA256").update(`${head}.${claims}`).verify(publicKey, signed, "base64url"), "the signature is the account's");
      const { iss, scope, aud, iat, exp } = JSON.parse(Buffer.from(claims, "base64url"));
      assert.deepEqual([iss, scope, aud, exp - iat], [EMAIL, "https://www.googleapis.com/auth/cloud-platform", "https://oauth2.googleapis.com/token", 3600]);
      assert.ok(Math.abs(iat - Date.now() / 1000) < 60);
    }
  });

  test("an Entra application's token", async () => {
    const model = await modelAt(["entra"], [answers(DIALECTS["azure-openai"].whole("fine"))]);
    for (let n = 0; n < 2; n++) assert.equal((await world.chat(ask(model))).status, 200);
    for (const { headers } of world.received(model)) assert.deepEqual([headers.authorization, headers["api-key"]], [`Bearer ${CREDENTIAL}-entra-1`, undefined]);
    const asked = world.fake.received("/token/entra");
    assert.equal(asked.length, 1);
    assert.deepEqual(Object.fromEntries(new URLSearchParams(asked[0].raw.toString())), {
      grant_type: "client_credentials", client_id: ENTRA.client_id, client_secret: ENTRA.client_secret, scope: "https://cognitiveservices.azure.com/.default",
    });
  });

  test("who gets no token is not called: another stands in, or the client learns whose fault it is", async () => {
    const { openai } = DIALECTS;
    const alone = await modelAt(["refused"], [answers(openai.whole("fine"))]);
    const answer = await world.chat(ask(alone));
    assert.deepEqual([answer.status, answer.body.error.code, leaks(answer.text)], [502, "provider_credential", []]);
    assert.equal(world.received(alone).length, 0);
    const model = await modelAt(["refused", "spare"], [fails(500), answers(openai.whole("fine"))]);
    const rescued = await world.chat(ask(model));
    assert.deepEqual([rescued.status, rescued.body.provider, world.received(model).length], [200, "Fake spare", 0]);
  });

  test("a header of the operator's own, and a token in place of a key", async () => {
    const own = await modelAt(["fixed"], [answers(DIALECTS.openai.whole("fine"))]);
    assert.equal((await world.chat(ask(own))).status, 200);
    const [first] = world.received(own);
    assert.deepEqual([first.headers["x-own-key"], first.headers.authorization], [`${CREDENTIAL}-own`, undefined]);
    const oauth = await modelAt(["oauth"], [answers(DIALECTS.anthropic.whole("fine"))]);
    assert.equal((await world.chat(ask(oauth))).status, 200);
    const [second] = world.received(oauth);
    assert.deepEqual([second.headers.authorization, second.headers["x-api-key"]], [`Bearer sk-ant-oat-${CREDENTIAL}`, undefined]);
  });

  test("no secret is told or logged", async () => {
    for (const path of ["/admin/providers", "/admin/providers/aws", "/admin/catalog/export"]) {
      const { status, text } = await world.admin("GET", path);
      assert.deepEqual([status, leaks(text), text.includes("PRIVATE KEY")], [200, [], false], path);
    }
    const log = world.gateway.log();
    assert.match(log, /no access token for provider refused|token exchange/, "the operator reads why");
    assert.deepEqual([leaks(log), log.includes("PRIVATE KEY"), log.includes(privateKey.slice(40, 90))], [[], false, false]);
  });
});
