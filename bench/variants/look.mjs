// The cheapest look that finds the closing chunk of a chat stream: an empty list, as in `"choices":[]`.

export function closes(bytes) {
  for (let at = bytes.indexOf(93); at > 0; at = bytes.indexOf(93, at + 1)) {
    if (bytes[at - 1] === 91) return true;
  }
  return false;
}
