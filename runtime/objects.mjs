// The gateway's objects where they live in another process: each one hands every call to its original
// behind that process's door (door.mjs). Nothing is kept here.
import { DurableObject } from "cloudflare:workers";

const remote = (binding) => class extends DurableObject {
  get #place() {
    return `http://door/${binding}/${encodeURIComponent(this.ctx.id.name)}`;
  }

  fetch(request) {
    return this.env.DOOR.fetch(new Request(this.#place, request));
  }

  async commit(batch) {
    const answer = await this.env.DOOR.fetch(`${this.#place}?rpc`, { method: "POST", body: batch });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  }
};

export const Account = remote("ACCOUNT");
export const Catalog = remote("CATALOG");
