// The certificate authorities that this machine trusts, each once and in one file.
//
// Left to itself workerd reads the system's bundle and then every file of the folder beside it, which
// holds the same authorities again, and does so for each of its networks: 7 ms of a start of 80. Sources
// are the usual ones: SSL_CERT_FILE and SSL_CERT_DIR, or else where Linux systems keep them.
import { accessSync, constants, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { writePrivate } from "./files.mjs";

const FILES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
const FOLDERS = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
// Names that OpenSSL looks for in such a folder: the hash of the subject and a number.
const HASHED = /^[0-9a-f]{8}\.\d+$/;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

// A link may lead nowhere, or to what is not for us.
function readable(path) {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

// Writes the file; answers the environment that makes workerd read it, or, where nothing was found, the
// variables as they were: workerd then looks for itself.
export function trust(file, env, { files = FILES, folders = FOLDERS } = {}) {
  const { SSL_CERT_FILE, SSL_CERT_DIR } = env;
  const given = Boolean(SSL_CERT_FILE || SSL_CERT_DIR);
  const bundles = given ? [SSL_CERT_FILE].filter(Boolean) : files.filter(readable).slice(0, 1);
  const hashed = (given ? (SSL_CERT_DIR ?? "").split(":").filter(Boolean) : folders)
    .filter(readable)
    .flatMap((folder) => readdirSync(folder).filter((name) => HASHED.test(name)).map((name) => join(folder, name)));
  const certificates = new Set([...bundles, ...hashed].filter(readable).flatMap((path) => readFileSync(path, "latin1").match(CERTIFICATE) ?? []));
  if (process.platform !== "linux" || certificates.size === 0) {
    return { ...(SSL_CERT_FILE && { SSL_CERT_FILE }), ...(SSL_CERT_DIR && { SSL_CERT_DIR }) };
  }
  writePrivate(file, [...certificates, ""].join("\n"));
  return { SSL_CERT_FILE: file };
}
