// The providers of the corpus as rows of the gateway, all at the replay server; and a model at each.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CREDENTIAL, root } from "../common.mjs";

const catalog = new Map(JSON.parse(readFileSync(join(root, "catalog", "providers.json"), "utf8")).map((row) => [row.slug, row]));
// By the corpus' names, where the catalog has others.
const CATALOGUED = { zai: "z-ai", google: "google-ai-studio" };
// Quirks that say in which other formats a company can be asked: an exchange is asked for in its own.
const BESIDE = ["completions", "responses"];
const BEARER = { type: "bearer", value: `${CREDENTIAL}-replay` };
const AWS = { type: "aws", access_key_id: `${CREDENTIAL}-id`, secret_access_key: `${CREDENTIAL}-secret` };
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048, privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } });
const SERVICE_ACCOUNT = { type: "google_service_account", json: { type: "service_account", project_id: "replay", client_email: "replay@replay.example", private_key: privateKey } };

// Where exchanges of a format are sent: dialect, address below the server, more of the row. A credential
// of type bearer goes into the header that the format has for keys.
const KINDS = {
  "openai.chat": { dialect: "openai", at: (provider) => `/openai/${provider}/v1` },
  "openai.completions": { dialect: "openai", at: (provider) => `/openai/${provider}/v1`, quirks: ["completions"] },
  "openai.embeddings": { dialect: "openai", at: (provider) => `/openai/${provider}/v1` },
  "openai.responses": { dialect: "openai-responses", at: (provider) => `/openai/${provider}/v1` },
  "anthropic.messages": { dialect: "anthropic", at: () => "/anthropic/v1" },
  "gemini.generateContent": { dialect: "gemini", at: () => "/gemini/v1beta" },
  "bedrock.converse": { dialect: "bedrock", at: () => "/bedrock", credential: AWS, row: { region: "us-east-1" }, model: "us.amazon.nova-lite-v1:0" },
  "cohere.chat.v2": { dialect: "cohere", at: () => "/cohere/v2" },
  "anthropic.count_tokens": { dialect: "anthropic", at: () => "/anthropic/v1" },
  "gemini.countTokens": { dialect: "gemini", at: () => "/gemini/v1beta" },
  "gemini.embedContent": { dialect: "gemini", at: () => "/gemini/v1beta" },
  "cohere.embed.v2": { dialect: "cohere", at: () => "/cohere/v2" },
  "ollama.embed": { dialect: "ollama", at: () => "/ollama/api", credential: { type: "none" } },
  "ollama.chat": { dialect: "ollama", at: () => "/ollama/api", credential: { type: "none" } },
};
const AZURE = { dialect: "azure-openai", at: () => "/azure" };
// Of each of Vertex' models a service account asks for a token first.
const VERTEX = { dialect: "vertex", at: () => "/vertex/v1", credential: SERVICE_ACCOUNT, token: "/token", row: { region: "us-central1" } };
// Providers with a form of their own of a format that others speak.
const OWN = {
  "azure-openai openai.chat": AZURE,
  "azure-openai openai.completions": { ...AZURE, quirks: ["completions"] },
  "azure-openai openai.embeddings": AZURE,
  "azure-openai openai.responses": { dialect: "openai-responses", at: () => "/azure/openai/v1", credential: { type: "header", name: "api-key", value: BEARER.value } },
  "vertex gemini.generateContent": VERTEX,
  "vertex gemini.countTokens": VERTEX,
  "vertex gemini.embedContent": { ...VERTEX, quirks: ["embed_content"] },
  "vertex vertex.predict": VERTEX,
  "vertex anthropic.messages": { ...VERTEX, model: "claude-sonnet-4-5@20250929" },
};

const kindOf = ({ provider, dialect }) => OWN[`${provider} ${dialect}`] ?? KINDS[dialect];
const slugOf = ({ provider, dialect }) => `${provider}-${dialect.replaceAll(".", "-").toLowerCase()}`;

// The model whose one endpoint is where this exchange is served.
export const modelOf = (exchange) => `replay/${slugOf(exchange)}`;

// Registers what these exchanges need. Answers with the models that could not be, and why.
export async function register(world, replay, exchanges) {
  const missing = new Map();
  const one = new Map(exchanges.map((exchange) => [slugOf(exchange), exchange]));
  for (const [slug, exchange] of one) {
    const refusal = (await putProvider(world, replay, slug, exchange)) ?? (await putModel(world, slug, exchange));
    if (refusal !== undefined) missing.set(modelOf(exchange), refusal);
  }
  return missing;
}

async function putProvider(world, replay, slug, exchange) {
  const { dialect, at, credential = BEARER, token, quirks = [], row } = kindOf(exchange);
  // The oddities that the catalog knows of the company.
  const known = catalog.get(CATALOGUED[exchange.provider] ?? exchange.provider);
  const theirs = known?.dialect === dialect ? known : {};
  const answer = await world.admin("PUT", `/admin/providers/${slug}`, {
    name: `Replay of ${exchange.provider}`, dialect, base_url: `${replay.url}${at(exchange.provider)}`, credential, allow_private_network: true,
    quirks: [...(theirs.quirks ?? []).filter((quirk) => !BESIDE.includes(quirk)), ...quirks], ...(theirs.headers && { headers: theirs.headers }), ...(token && { token_url: replay.url + token }), ...row,
  });
  return answer.status < 300 ? undefined : answer.text;
}

async function putModel(world, slug, exchange) {
  const endpoint = {
    provider: slug, tag: slug, upstream_model: kindOf(exchange).model ?? "replayed-model",
    pricing: { prompt: "0.000001", completion: "0.000002" }, context_length: 1_000_000, max_completion_tokens: 100_000, supported_parameters: [],
  };
  const answer = await world.admin("PUT", `/admin/models/${modelOf(exchange)}`, { name: slug, context_length: 1_000_000, architecture: {}, endpoints: [endpoint] });
  return answer.status < 300 ? undefined : answer.text;
}
