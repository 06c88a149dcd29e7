// Makes virtual keys: `sk-sl-v1-`, 43 random characters, 6 of checksum (CRC-32 of all before it, in
// base 62). The gateway refuses a key with a wrong checksum without looking it up.
import { randomInt } from "node:crypto";

const PREFIX = "sk-sl-v1-";
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

export function newKey() {
  const random = Array.from({ length: 43 }, () => DIGITS[randomInt(DIGITS.length)]).join("");
  return PREFIX + random + checksum(PREFIX + random);
}

export function checksum(text) {
  let rest = crc32(Buffer.from(text));
  let digits = "";
  for (; rest > 0; rest = Math.floor(rest / 62)) digits = DIGITS[rest % 62] + digits;
  return digits.padStart(6, "0");
}

// node:zlib has it only since Node 22.2, and this must run on older ones.
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
