// Passes every request on and its answer back, natively: no Worker that makes one fetch can do less.

export default {
  fetch(request, env) {
    return fetch(env.UPSTREAM, request);
  },
};
