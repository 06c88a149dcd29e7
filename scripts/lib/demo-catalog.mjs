// What the demo offers: three providers with the same three models at different prices and speeds, so
// that a model, its `:floor` and its `:nitro` visibly go to different places. Only `demo-balanced` has
// weight: without a suffix it always serves, and the others stand in for it.

// ttft_ms: until the first token; throughput: tokens a second; factor: of the model's price.
export const providers = [
  { slug: "demo-cheap", name: "Demo (cheap)", ttft_ms: 400, throughput: 40, factor: 1, weight: 0 },
  { slug: "demo-balanced", name: "Demo (balanced)", ttft_ms: 150, throughput: 120, factor: 3, weight: 1 },
  { slug: "demo-fast", name: "Demo (fast)", ttft_ms: 40, throughput: 500, factor: 10, weight: 0 },
];

// Prices at the cheapest provider, in nano-dollars a token.
const models = [
  { id: "demo/chat-small", name: "Demo Chat Small", context_length: 128_000, prompt: 50, completion: 200, extra: [] },
  { id: "demo/chat-large", name: "Demo Chat Large", context_length: 200_000, prompt: 500, completion: 2000, extra: [] },
  { id: "demo/reasoner", name: "Demo Reasoner", context_length: 200_000, prompt: 200, completion: 800, extra: ["reasoning", "include_reasoning"] },
];

const MAX_COMPLETION = 16_384;
const PARAMETERS = [
  "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed",
  "frequency_penalty", "presence_penalty", "response_format", "structured_outputs", "tools", "tool_choice",
];

// Decimal, as prices are written: 50 nano-dollars are 0.00000005.
const usd = (nano) => (nano / 1e9).toFixed(9).replace(/0+$/, "");

function endpoint(model, provider) {
  return {
    provider: provider.slug,
    upstream_model: model.id,
    pricing: { prompt: usd(model.prompt * provider.factor), completion: usd(model.completion * provider.factor) },
    context_length: model.context_length,
    max_completion_tokens: MAX_COMPLETION,
    supported_parameters: [...PARAMETERS, ...model.extra],
    weight: provider.weight,
    expected: { ttft_ms: provider.ttft_ms, throughput: provider.throughput },
  };
}

// The rows to PUT for providers listening at `ports`: [path below /v1, body].
export function demoRows(ports) {
  return [
    ...providers.map(({ slug, name }) => [`admin/providers/${slug}`, {
      name,
      dialect: "openai",
      base_url: `http://127.0.0.1:${ports[slug]}/v1`,
      credential: { type: "bearer", value: "demo" },
      allow_private_network: true,
    }]),
    ...models.map((model) => [`admin/models/${model.id}`, {
      name: model.name,
      context_length: model.context_length,
      architecture: { modality: "text->text", input_modalities: ["text"], output_modalities: ["text"], tokenizer: "Other", instruct_type: null },
      endpoints: providers.map((provider) => endpoint(model, provider)),
    }]),
  ];
}

// The same rows' paths in the order to DELETE them: models before the providers they name.
export const demoPaths = () => [...models.map(({ id }) => `admin/models/${id}`), ...providers.map(({ slug }) => `admin/providers/${slug}`)];

export const demoSlugs = ["demo/chat-small", "demo/chat-small:floor", "demo/chat-small:nitro"];
