// The objects of this process, for other processes on the same machine (objects.mjs): their gateways
// use them as their own. What may be asked, over a Unix socket in the state folder:
//
//   /<binding>/<object>            the object's fetch()
//   POST /<binding>/<object>?rpc   its commit(bytes); status 500 and the text of what it threw
//
// The stores need no door: their bindings are HTTP already.
export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    const [binding, name] = pathname.slice(1).split("/").map(decodeURIComponent);
    const object = env[binding].getByName(name);
    if (search !== "?rpc") return object.fetch(request);
    try {
      return new Response(await object.commit(new Uint8Array(await request.arrayBuffer())));
    } catch (error) {
      return new Response(String(error.message ?? error), { status: 500 });
    }
  },
};
