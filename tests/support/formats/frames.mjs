// Streams taken apart, without any of the code under test.
import { parsed } from "../chat.mjs";

// Server-sent events as the standard reads them: [{event, data}], data joined by line feeds.
export function sse(text) {
  return text.split(/\r?\n\r?\n|\r\r/).flatMap((block) => {
    const fields = block.split(/\r?\n|\r/).map((line) => /^([^:]*):? ?(.*)$/s.exec(line));
    const of = (name) => fields.filter(([, key]) => key === name).map(([, , value]) => value);
    const data = of("data");
    return data.length === 0 ? [] : [{ event: of("event").at(-1), data: data.join("\n") }];
  });
}

// The JSON of each event; what is none is left out.
export const sseObjects = (text) => sse(text).map(({ data }) => parsed(data)).filter((value) => value !== undefined);

export const lines = (text) => text.split(/\r?\n/).filter((line) => line.trim() !== "").map(parsed).filter((value) => value !== undefined);

// AWS event stream (docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html): total length,
// length of the headers, a checksum, headers, payload, a checksum. [{kind, name, data}], kind "event" or
// "exception".
export function awsFrames(bytes) {
  const found = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const total = bytes.readUInt32BE(at);
    const headersEnd = at + 12 + bytes.readUInt32BE(at + 4);
    const headers = awsHeaders(bytes.subarray(at + 12, headersEnd));
    const kind = headers[":message-type"];
    found.push({ kind, name: headers[kind === "exception" ? ":exception-type" : ":event-type"], data: parsed(bytes.subarray(headersEnd, at + total - 4).toString()), start: at, end: at + total });
    at += total;
  }
  return found;
}

function awsHeaders(bytes) {
  const headers = {};
  for (let at = 0; at < bytes.length; ) {
    const name = bytes.subarray(at + 1, at + 1 + bytes[at]).toString();
    at += 1 + bytes[at];
    // 7 is a string; these streams have no other kind.
    if (bytes[at] !== 7) throw new Error(`a header of type ${bytes[at]}`);
    const length = bytes.readUInt16BE(at + 1);
    headers[name] = bytes.subarray(at + 3, at + 3 + length).toString();
    at += 3 + length;
  }
  return headers;
}
