// A refusal as the bindings expect it: workerd shows a failed call's status text to the program.
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
    // A status text is one line of a header: no line breaks, ASCII only.
    const statusText = String(error.message).replace(/[^\x20-\x7e]+/g, " ").slice(0, 500);
    return new Response(error.message, { status, statusText });
  }
}
