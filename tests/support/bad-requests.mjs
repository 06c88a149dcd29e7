// Bad requests as data: {name, method, path, headers, body, key, status, type, param, code}.
// `key` names one of the keys of bad-requests.test.mjs; a body that is text or bytes goes as it is.
import { ask } from "./chat.mjs";
import { PROMPT } from "./common.mjs";

const TYPES = {
  400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "invalid_request_error",
  405: "invalid_request_error", 413: "invalid_request_error",
};

const row = (name, method, path, status, param, more) => ({ name, method, path, status, type: TYPES[status], param, key: "inference", ...more });

// --- Chat: bodies --------------------------------------------------------------------------------

const chat = (name, body, status, param = null, more = {}) => row(name, "POST", "/v1/chat/completions", status, param, { body, ...more });

const whole = JSON.stringify({ ...ask("MODEL"), temperature: 0.5, tools: [], metadata: { a: "é" } });
const notJson = (name, body) => chat(name, body, 400, null, { code: "invalid_json" });
const around = (middle) => `{"model":"MODEL","messages":[{"role":"user","content":"${PROMPT}"}],${middle}}`;

const brokenJson = [
  notJson("an empty body", ""),
  ...[1, 5, 12, 24, 40, 60, 80, whole.length - 12, whole.length - 1].map((at) => notJson(`JSON cut off at byte ${at}`, whole.slice(0, at))),
  notJson("no JSON at all", `please answer: ${PROMPT}`),
  notJson("a form", "model=MODEL&messages=x"),
  notJson("an array", `[${whole}]`),
  notJson("a string", '"MODEL"'),
  notJson("a number", "42"),
  notJson("null", "null"),
  notJson("two objects", whole + whole),
  notJson("a trailing comma", `${whole.slice(0, -1)},}`),
  notJson("a comment", `/* ${PROMPT} */${whole}`),
  notJson("single quotes", whole.replaceAll('"', "'")),
  notJson("NaN", around('"temperature":NaN')),
  notJson("Infinity", around('"temperature":-Infinity')),
  notJson("a number with a leading zero", around('"temperature":01')),
  notJson("a number with a leading plus", around('"temperature":+1')),
  notJson("a hexadecimal number", around('"max_tokens":0x10')),
  notJson("a control character in a string", `{"model":"MODEL","messages":[{"role":"user","content":"a\u0001b"}]}`),
  notJson("a line feed in a string", `{"model":"MODEL","messages":[{"role":"user","content":"a\nb"}]}`),
  notJson("an unknown escape", `{"model":"MODEL","messages":[{"role":"user","content":"\\x41"}]}`),
  notJson("invalid UTF-8 in a string", Buffer.concat([Buffer.from('{"model":"MODEL","messages":[{"role":"user","content":"'), Buffer.from([0xff, 0xc3, 0x28]), Buffer.from('"}]}')])),
  notJson("invalid UTF-8 in a key", Buffer.concat([Buffer.from('{"mo'), Buffer.from([0xfe]), Buffer.from(`del":"x",${around("").slice(1, -2)}}`)])),
  notJson("UTF-16", Buffer.from(whole, "utf16le")),
  notJson("arrays 100,000 deep", around(`"metadata":${"[".repeat(100_000)}`)),
  notJson("arrays 100,000 deep and closed", around(`"metadata":${"[".repeat(100_000)}${"]".repeat(100_000)}`)),
  notJson("objects 100,000 deep", around(`"x":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`)),
];

// --- Chat: members -------------------------------------------------------------------------------

const wrong = (field, ...values) => values.map((value) => chat(`${field}: ${JSON.stringify(value)}`, { ...ask("MODEL"), [field]: value }, 400, field));

const members = [
  chat("no model", { messages: ask("x").messages }, 400, "model"),
  chat("no messages", { model: "MODEL" }, 400, "messages"),
  ...wrong("model", 5, true, {}, ["MODEL"]),
  ...wrong("messages", "hello", {}, 7, []),
  ...wrong("models", "MODEL", {}),
  chat("models: a number in it", { ...ask("MODEL"), models: ["MODEL", 5] }, 400, "models[1]"),
  chat("models: eleven", { ...ask("MODEL"), models: Array.from({ length: 11 }, (_, n) => `a/${n}`) }, 400, "models"),
  chat("messages: null", { model: "MODEL", messages: null }, 400, "messages"),
  chat("a message that is a string", { model: "MODEL", messages: ["hi"] }, 400, "messages[0]"),
  chat("a message without a role", { model: "MODEL", messages: [{ content: PROMPT }] }, 400, "messages[0].role"),
  chat("a second message without a role", { model: "MODEL", messages: [...ask("x").messages, {}] }, 400, "messages[1].role"),
  chat("a message of an unknown role", { model: "MODEL", messages: [{ role: "wizard", content: PROMPT }] }, 400, "messages[0].role"),
  chat("a message whose role is a number", { model: "MODEL", messages: [{ role: 1, content: PROMPT }] }, 400, "messages[0].role"),
  chat("a message whose content is a number", { model: "MODEL", messages: [{ role: "user", content: 3 }] }, 400, "messages[0].content"),
  chat("a message whose content is an object", { model: "MODEL", messages: [{ role: "user", content: { text: PROMPT } }] }, 400, "messages[0].content"),
  chat("tool_calls that are an object", { model: "MODEL", messages: [{ role: "assistant", tool_calls: {} }] }, 400, "messages[0].tool_calls"),
  ...wrong("stream", "true", 1),
  ...wrong("stream_options", true),
  ...wrong("temperature", "hot", -0.1, 2.1, true),
  chat("temperature: 1e400", around('"temperature":1e400'), 400, "temperature"),
  ...wrong("top_p", "x", 1.5, -1),
  ...wrong("top_k", "x", -1),
  ...wrong("min_p", 2),
  ...wrong("frequency_penalty", 3, "x"),
  ...wrong("presence_penalty", -3, []),
  ...wrong("repetition_penalty", -1),
  ...wrong("max_tokens", 0, -5, 1.5, "100"),
  chat("max_tokens: 1e99", around('"max_tokens":1e99'), 400, "max_tokens"),
  chat("max_tokens: beyond 64 bits", around('"max_tokens":99999999999999999999999'), 400, "max_tokens"),
  ...wrong("max_completion_tokens", 0, "x"),
  ...wrong("n", 0, 129, "2"),
  ...wrong("logprobs", "yes"),
  ...wrong("top_logprobs", 21, -1),
  ...wrong("logit_bias", []),
  ...wrong("stop", 5, {}),
  ...wrong("tools", {}, "search"),
  ...wrong("tool_choice", 5, []),
  ...wrong("parallel_tool_calls", "no"),
  ...wrong("response_format", "json"),
  ...wrong("metadata", "x"),
  ...wrong("modalities", "text"),
  ...wrong("user", 5),
  ...wrong("session_id", {}),
  ...wrong("service_tier", 1),
  ...wrong("reasoning", "high"),
  ...wrong("reasoning_effort", 3),
  ...wrong("include_reasoning", "no"),
  ...wrong("prompt_cache_key", 1),
  ...wrong("trace", "x"),
  ...wrong("provider", "fake-1", []),
  chat("provider.order: a string", { ...ask("MODEL"), provider: { order: "fake-1" } }, 400, "provider.order"),
  chat("provider.sort: unknown", { ...ask("MODEL"), provider: { sort: "beauty" } }, 400, "provider.sort"),
  chat("provider.allow_fallbacks: a string", { ...ask("MODEL"), provider: { allow_fallbacks: "no" } }, 400, "provider.allow_fallbacks"),
  chat("provider.data_collection: unknown", { ...ask("MODEL"), provider: { data_collection: "maybe" } }, 400, "provider.data_collection"),
  chat("provider.max_price: negative", { ...ask("MODEL"), provider: { max_price: { prompt: -1 } } }, 400, "provider.max_price.prompt"),
  chat("provider.max_price: words", { ...ask("MODEL"), provider: { max_price: { prompt: "cheap" } } }, 400, "provider.max_price.prompt"),
  chat("provider.colour, which there is not", { ...ask("MODEL"), provider: { colour: "red" } }, 400, "provider.colour"),
  chat("model twice", around('"model":"MODEL"'), 400, "model"),
  chat("messages twice", around('"messages":[]'), 400, "messages"),
  chat("stream twice", around('"stream":true,"stream":false'), 400, "stream"),
  chat("stream twice, once with an escape", around('"stream":true,"\\u0073tream":false'), 400, "stream"),
  chat("plugins that would be ignored", { ...ask("MODEL"), plugins: [{ id: "web" }] }, 400, "plugins", { code: "unsupported_parameter" }),
  chat("transforms that would be ignored", { ...ask("MODEL"), transforms: ["middle-out"] }, 400, "transforms", { code: "unsupported_parameter" }),
];

const models = [
  chat("an unknown model", ask("nobody/nothing"), 400, "model", { code: "model_not_found" }),
  chat("an unknown model without author", ask("nothing"), 400, "model", { code: "model_not_found" }),
  chat("an unknown variant", ask("MODEL:cheapest"), 400, "model", { code: "unknown_variant" }),
  chat("an empty variant", ask("MODEL:"), 400, "model"),
  chat("an empty variant before another", ask("MODEL::floor"), 400, "model"),
  chat("an empty model", ask(""), 400, "model"),
  chat("a variant of nothing", ask(":floor"), 400, "model"),
  chat("a model with a space", ask("a b/c"), 400, "model"),
  chat("a model with a line feed", ask("a/b\nX-Evil: 1"), 400, "model"),
  chat("a model that climbs paths", ask("../../etc/passwd"), 400, "model"),
  chat("a model of 10,000 characters", ask("a/".padEnd(10_000, "b")), 400, "model"),
  chat("a fallback that is unknown", { ...ask("MODEL"), models: ["nobody/nothing"] }, 400, "model"),
  chat("no endpoint left: provider.only", { ...ask("MODEL"), provider: { only: ["nobody"] } }, 404, "model"),
  chat("no endpoint left: max_tokens", { ...ask("MODEL"), max_tokens: 200_001 }, 404, "model"),
  chat("a model the key may not call", ask("MODEL"), 403, "model", { key: "narrow", code: "model_not_allowed" }),
];

const large = "x".repeat(10 * 1024 * 1024);
const inPieces = () => new Blob([around(`"x":"${large}"`)]).stream();
const sizes = [
  chat("10 MB", around(`"x":"${large}"`), 413),
  chat("10 MB without content-length", inPieces, 413),
  chat("10 MB that are no JSON", large, 413),
];

// --- Keys ----------------------------------------------------------------------------------------

// `headers` may hold $name for one of the keys.
const keys = (name, headers, status, code, more = {}) => chat(name, ask("MODEL"), status, null, { key: null, headers, code, ...more });

const authorization = [
  keys("no key", {}, 401, "missing_api_key"),
  keys("an empty bearer", { authorization: "Bearer" }, 401),
  keys("an empty bearer with a space", { authorization: "Bearer  " }, 401),
  keys("basic authorization", { authorization: "Basic dXNlcjpwYXNz" }, 401),
  keys("a key without scheme", { authorization: "$inference" }, 401),
  keys("another vendor's key", { authorization: "Bearer sk-proj-0123456789abcdef" }, 401),
  keys("a key cut off", { authorization: "Bearer $cut" }, 401),
  keys("a key with a letter changed", { authorization: "Bearer $garbled" }, 401),
  keys("a key in capitals", { authorization: "Bearer $capitals" }, 401),
  keys("a well-formed key nobody made", { authorization: "Bearer $stranger" }, 401),
  keys("a bad key in x-api-key", { "x-api-key": "sk-ant-x" }, 401),
  keys("a stranger's key in x-api-key", { "x-api-key": "$stranger" }, 401),
  keys("a bad key in x-goog-api-key", { "x-goog-api-key": "AIza-x" }, 401),
  keys("a stranger's key in x-goog-api-key", { "x-goog-api-key": "$stranger" }, 401),
  keys("two different keys", { authorization: "Bearer $inference", "x-api-key": "$narrow" }, 400, undefined, { param: "authorization" }),
  keys("a good key and a bad one", { authorization: "Bearer $inference", "x-goog-api-key": "x" }, 400, undefined, { param: "authorization" }),
  keys("a disabled key", { authorization: "Bearer $disabled" }, 401, "api_key_disabled"),
  keys("an expired key", { authorization: "Bearer $expired" }, 401, "api_key_expired"),
  keys("a deleted key", { authorization: "Bearer $deleted" }, 401),
  keys("a management key", { authorization: "Bearer $management" }, 403, "wrong_key_kind"),
  // The key comes first: an unknown caller learns nothing of the body's faults.
  keys("no key and no JSON", {}, 401, "missing_api_key", { body: "{" }),
];

// --- Management ----------------------------------------------------------------------------------

const HASH = "0".repeat(64);
const manage = (name, method, path, body, status, param = null, more = {}) => row(name, method, `/v1${path}`, status, param, { body, key: "management", ...more });

const kinds = [
  ["GET", "/keys"], ["POST", "/keys", { name: "x" }], ["GET", `/keys/${HASH}`], ["PATCH", `/keys/${HASH}`, { disabled: true }], ["DELETE", `/keys/${HASH}`],
  ["GET", "/activity"], ["PUT", "/admin/providers/evil", {}], ["DELETE", "/admin/providers/fake-1"], ["DELETE", "/admin/models/test/m1"], ["GET", "/admin/catalog/export"],
].flatMap(([method, path, body]) => [
  manage(`an inference key at ${method} ${path}`, method, path, body, 403, null, { key: "inference", code: "wrong_key_kind" }),
  manage(`no key at ${method} ${path}`, method, path, body, 401, null, { key: null }),
]);

const routes = [
  manage("an unknown route", "GET", "/nothing", undefined, 404),
  row("the root", "GET", "/", 404, null),
  row("a route outside the API", "GET", "/admin.php", 404, null),
  row("an unknown version", "POST", "/v2/chat/completions", 404, null, { body: ask("MODEL") }),
  row("a route too long", "POST", "/v1/chat/completions/more", 404, null, { body: ask("MODEL") }),
  ...["GET", "PUT", "DELETE", "PATCH"].map((method) => row(`${method} of chat`, method, "/v1/chat/completions", 405, null, method === "GET" ? {} : { body: ask("MODEL") })),
  manage("PUT of keys", "PUT", "/keys", {}, 405),
  row("POST of models", "POST", "/v1/models", 405, null, { body: {} }),
  manage("POST of a provider", "POST", "/admin/providers/fake-1", {}, 405),
  manage("a key that is not there", "GET", `/keys/${HASH}`, undefined, 404, "hash"),
  manage("PATCH of a key that is not there", "PATCH", `/keys/${HASH}`, { disabled: true }, 404, "hash"),
  manage("DELETE of a key that is not there", "DELETE", `/keys/${HASH}`, undefined, 404, "hash"),
  manage("a key whose hash is none", "GET", "/keys/abc", undefined, 404, "hash"),
  manage("a provider that is not there", "GET", "/admin/providers/nobody", undefined, 404),
  manage("DELETE of a provider that is not there", "DELETE", "/admin/providers/nobody", undefined, 404),
  manage("DELETE of a model that is not there", "DELETE", "/admin/models/nobody/nothing", undefined, 404),
  row("endpoints of an unknown model", "GET", "/v1/models/nobody/nothing/endpoints", 404, null),
  row("a generation nobody made", "GET", "/v1/generation?id=gen-1-nothing", 404, null),
  row("a generation without id", "GET", "/v1/generation", 400, "id"),
];

const key = (name, body, param) => manage(`key: ${name}`, "POST", "/keys", body, 400, param);
const keyBodies = [
  manage("key: no JSON", "POST", "/keys", "{", 400, null, { code: "invalid_json" }),
  key("no body", undefined, null),
  key("an array", [], null),
  key("no name", {}, "name"),
  key("an empty name", { name: " " }, "name"),
  key("a name of 201 characters", { name: "x".repeat(201) }, "name"),
  key("a name that is a number", { name: 5 }, "name"),
  key("an unknown member", { name: "x", colour: "red" }, "colour"),
  key("a negative limit", { name: "x", limit: -1 }, "limit"),
  key("a limit in words", { name: "x", limit: "much" }, "limit"),
  key("a limit beyond all money", { name: "x", limit: 1e30 }, "limit"),
  key("an unknown window", { name: "x", limit: 1, limit_reset: "hourly" }, "limit_reset"),
  key("an end that is no time", { name: "x", expires_at: "tomorrow" }, "expires_at"),
  key("models that are no list", { name: "x", allowed_models: "demo/*" }, "allowed_models"),
  key("an empty model", { name: "x", allowed_models: ["a/b", ""] }, "allowed_models[1]"),
  key("a provider that is none", { name: "x", allowed_providers: ["../x"] }, "allowed_providers[0]"),
  key("metadata of 5 KB", { name: "x", metadata: { a: "x".repeat(5000) } }, "metadata"),
  key("an unknown stream usage", { name: "x", stream_usage: "none" }, "stream_usage"),
  manage("key list: a limit in words", "GET", "/keys?limit=many", undefined, 400, "limit"),
  manage("key list: a negative offset", "GET", "/keys?offset=-1", undefined, 400, "offset"),
];

const provider = { name: "X", dialect: "openai", base_url: "https://example.com/v1", credential: { type: "bearer", value: "x" } };
const put = (name, change, param, path = "/admin/providers/evil") => manage(`provider: ${name}`, "PUT", path, { ...provider, ...change }, 400, param);
const without = (object, member) => Object.fromEntries(Object.entries(object).filter(([name]) => name !== member));

const providerBodies = [
  manage("provider: no JSON", "PUT", "/admin/providers/evil", "{", 400, null, { code: "invalid_json" }),
  manage("provider: no name", "PUT", "/admin/providers/evil", without(provider, "name"), 400, "name"),
  manage("provider: no base_url", "PUT", "/admin/providers/evil", without(provider, "base_url"), 400, "base_url"),
  manage("provider: no dialect", "PUT", "/admin/providers/evil", without(provider, "dialect"), 400, "dialect"),
  put("an unknown dialect", { dialect: "klingon" }, "dialect"),
  put("an unknown member", { colour: "red" }, "colour"),
  put("a name that is a number", { name: 5 }, "name"),
  put("an empty name", { name: "" }, "name"),
  put("a credential of unknown type", { credential: { type: "magic", value: "x" } }, "credential.type"),
  put("a credential without value", { credential: { type: "bearer" } }, "credential.value"),
  put("a credential that would split headers", { credential: { type: "bearer", value: "x\r\nx-evil: 1" } }, "credential.value"),
  put("a header that is set by the gateway", { headers: { Authorization: "x" } }, "headers.Authorization"),
  put("a header that would split headers", { headers: { "x-a": "1\r\nx-evil: 1" } }, "headers.x-a"),
  put("a header name that is none", { headers: { "x a": "1" } }, "headers.x a"),
  put("time-outs that are negative", { timeouts_ms: { idle: -1 } }, "timeouts_ms.idle"),
  put("time-outs of unknown name", { timeouts_ms: { patience: 1 } }, "timeouts_ms.patience"),
  put("a data policy in words", { data_policy: "good" }, "data_policy"),
  put("retention in words", { data_policy: { retention_days: "few" } }, "data_policy.retention_days"),
  put("a slug in capitals", {}, "slug", "/admin/providers/Evil"),
  put("a slug with a space", {}, "slug", "/admin/providers/e%20vil"),
  manage("provider: a slug that climbs", "PUT", "/admin/providers/..%2f..%2fkeys", provider, 404),
  put("a slug that begins with a dot", {}, "slug", "/admin/providers/.evil"),
  put("a slug of 65 characters", {}, "slug", `/admin/providers/${"a".repeat(65)}`),
  // What a server must not be talked into calling (SSRF).
  ...[
    "http://127.0.0.1:9000/v1", "https://127.0.0.1/v1", "https://localhost/v1", "https://0.0.0.0/", "https://10.0.0.1/", "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fd00::1]/", "https://2130706433/", "https://0x7f.1/",
    "https://metadata.google.internal/", "http://example.com/v1", "https://user:pw@example.com/", "https://evil.com\\@example.com/", "https://example.com/?x=1",
    "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "example.com", "", "https://",
  ].map((base_url) => put(`base_url ${JSON.stringify(base_url)}`, { base_url }, "base_url")),
  put("a base_url that is an object", { base_url: {} }, "base_url"),
];

const endpoint = { provider: "fake-1", upstream_model: "m", pricing: { prompt: "0.000001", completion: "0.000002" } };
const model = { name: "X", context_length: 1000, architecture: {}, endpoints: [endpoint] };
const putModel = (name, change, param, path = "/admin/models/evil/model") => manage(`model: ${name}`, "PUT", path, { ...model, ...change }, 400, param);
const priced = (name, prompt) => putModel(`a price of ${name}`, { endpoints: [{ ...endpoint, pricing: { prompt, completion: "0" } }] }, "endpoints[0].pricing.prompt");

const modelBodies = [
  manage("model: no JSON", "PUT", "/admin/models/evil/model", "[1,", 400, null, { code: "invalid_json" }),
  manage("model: no name", "PUT", "/admin/models/evil/model", without(model, "name"), 400, "name"),
  manage("model: no endpoints", "PUT", "/admin/models/evil/model", without(model, "endpoints"), 400, "endpoints"),
  putModel("an unknown member", { colour: "red" }, "colour"),
  putModel("endpoints that are an object", { endpoints: {} }, "endpoints"),
  putModel("an endpoint that is a string", { endpoints: ["fake-1"] }, "endpoints[0]"),
  putModel("an endpoint without provider", { endpoints: [without(endpoint, "provider")] }, "endpoints[0].provider"),
  putModel("an endpoint of an unknown provider", { endpoints: [{ ...endpoint, provider: "nobody" }] }, "endpoints[0].provider"),
  putModel("an endpoint without upstream model", { endpoints: [without(endpoint, "upstream_model")] }, "endpoints[0].upstream_model"),
  putModel("an endpoint with an unknown member", { endpoints: [{ ...endpoint, colour: 1 }] }, "endpoints[0].colour"),
  putModel("a price without the other", { endpoints: [{ ...endpoint, pricing: { prompt: "0.1" } }] }, "endpoints[0].pricing.completion"),
  priced("an exponent", "1e-6"),
  priced("words", "cheap"),
  priced("less than nothing", "-0.1"),
  priced("NaN", "NaN"),
  priced("nothing", ""),
  priced("a comma", "0,001"),
  priced("too many digits", "0.0000000000000000001"),
  priced("more than there is", "99999999999999999999"),
  putModel("a context length below zero", { context_length: -1 }, "context_length"),
  putModel("a context length of a fraction", { context_length: 1.5 }, "context_length"),
  putModel("a weight below zero", { endpoints: [{ ...endpoint, weight: -1 }] }, "endpoints[0].weight"),
  putModel("an id with a space", {}, "id", "/admin/models/evil/a%20b"),
  manage("model: an id that climbs", "PUT", "/admin/models/evil/..%2f..%2fx", model, 404),
  putModel("an id in another script", {}, "id", "/admin/models/evil/%C3%A9"),
];

export const badRequests = [
  ...brokenJson, ...members, ...models, ...sizes, ...authorization, ...kinds, ...routes, ...keyBodies, ...providerBodies, ...modelBodies,
];
