// The gateway with its demo providers, as a new user finds it after `npm run serve`.
import { eventually } from "./common.mjs";
import { startWorkerd } from "./gateway.mjs";

// Nano-dollars a token of demo/chat-small (scripts/lib/demo-catalog.mjs): 50 and 200, times the provider's factor.
const FACTOR = { cheap: 1, balanced: 3, fast: 10 };
export const demoCost = (provider, { prompt_tokens, completion_tokens }) =>
  Number((((prompt_tokens * 50 + completion_tokens * 200) * FACTOR[provider]) / 1e9).toFixed(9));

export async function startDemo() {
  const gateway = await startWorkerd({ demo: true });
  return {
    ...gateway,
    base: `${gateway.url}/v1`,
    generation: (id, seconds = 5) => eventually(`the generation ${id}`, async () => {
      const response = await fetch(`${gateway.url}/v1/generation?id=${id}`, { headers: { authorization: `Bearer ${gateway.keys.inference}` } });
      const { data } = await response.json();
      // While it runs it is shown as it would be if nothing more were heard of it.
      return response.status === 200 && data.outcome !== "lost" ? data : undefined;
    }, seconds),
  };
}
