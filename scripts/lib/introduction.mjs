// What `npm start` prints when the gateway is up: the keys and a first request in three languages.
import { demoSlugs } from "./demo-catalog.mjs";

export function introduction({ credentials, demo, model: callable }, { state, providerKeys }) {
  const { base_url, management_key, inference_key } = credentials;
  const model = demo ? demoSlugs[0] : (callable ?? "author/model");
  return `
Sluice is running at ${base_url}

  inference key   ${inference_key}
  management key  ${management_key}
  (both also in ${state}/credentials.json)

A first request:

  curl ${base_url}/chat/completions \\
    -H "Authorization: Bearer ${inference_key}" \\
    -H "Content-Type: application/json" \\
    -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'

Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="${base_url}", api_key="${inference_key}")
  print(client.chat.completions.create(model="${model}", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)

Node (npm install openai):

  import OpenAI from "openai";
  const client = new OpenAI({ baseURL: "${base_url}", apiKey: "${inference_key}" });
  const answer = await client.chat.completions.create({ model: "${model}", messages: [{ role: "user", content: "Hello" }] });
  console.log(answer.choices[0].message.content);

${providersNote(demo, providerKeys)}

Ctrl-C stops it.
`;
}

function providersNote(demo, providerKeys) {
  const real = providerKeys.length > 0 ? `Providers switched on by ${providerKeys.join(", ")}.` : null;
  if (!demo) return real ?? "No provider key is set: set one, such as OPENAI_API_KEY, or add a provider with the admin API.";
  const [plain, floor, nitro] = demoSlugs;
  return `${real === null ? "No provider key is set, so three pretend providers answer." : `${real} The demo providers are on too.`} Try:

  ${plain.padEnd(24)} the default choice     (demo-balanced)
  ${floor.padEnd(24)} the cheapest           (demo-cheap)
  ${nitro.padEnd(24)} the fastest            (demo-fast)`;
}
