// Errors as the bindings expect them.

// Why a call is refused, and the status that says so.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Answers a request by `handler`, a refusal by its status, any other error by 500 and its text.
export async function answer(request, handler) {
  try {
    return await handler();
  } catch (error) {
    const status = error instanceof Refusal ? error.status : 500;
    if (status === 500) console.error(error.stack ?? String(error));
    // A binding still writing its body would see a broken connection instead of the answer.
    if (request.body !== null && !request.bodyUsed) await request.body.pipeTo(new WritableStream());
    // One line of ASCII: KV shows the status text, the queue binding what is in these headers.
    const line = String(error.message).replace(/[^\x20-\x7e]+/g, " ").slice(0, 500);
    const headers = { "CF-Queues-Error-Code": String(status), "CF-Queues-Error-Cause": line };
    return new Response(error.message, { status, statusText: line, headers });
  }
}
