// Upstream body returned as it is.

export default {
  fetch: (request, env) => fetch(env.UPSTREAM, request),
};
