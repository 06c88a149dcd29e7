// Processes of an earlier start, and the port. A process is ended only if its command line shows that
// it is ours: a pid in a file may long belong to somebody else.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";

export const writePid = (file, pid) => writeFileSync(file, `${pid}\n`);
export const removePid = (file) => rmSync(file, { force: true });

// The pid in the file if that process lives and its command line contains one of the markers, else null.
export function livingOwn(file, ...markers) {
  if (!existsSync(file)) return null;
  const pid = Number(readFileSync(file, "utf8"));
  if (!Number.isInteger(pid) || pid <= 1 || pid === process.pid) return null;
  const command = commandLine(pid);
  return markers.some((marker) => command.includes(marker)) ? pid : null;
}

const HAS_PROC = existsSync("/proc/self/stat");

// Empty if there is no such process.
export function commandLine(pid) {
  return HAS_PROC ? procFile(pid, "cmdline").replaceAll("\0", " ") : ps(pid, "command=");
}

// NaN if there is no such process.
export function parentOf(pid) {
  return HAS_PROC ? Number(afterName(procFile(pid, "stat")).split(" ")[1] ?? NaN) : Number.parseInt(ps(pid, "ppid="), 10);
}

// /proc needs no program to be installed; ps is for systems without it.
function procFile(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES"].includes(error.code)) return "";
    throw error;
  }
}

// The fields of /proc/<pid>/stat from the state on: the name before them may contain anything.
const afterName = (stat) => stat.slice(stat.lastIndexOf(")") + 2);

function ps(pid, field) {
  try {
    return execFileSync("ps", ["-o", field, "-p", String(pid)], { encoding: "utf8" });
  } catch (error) {
    if (error.status === 1) return "";
    throw error;
  }
}

// Ends a process that is not our child: asks, then after `graceMs` insists. True if it has gone.
export async function end(pid, graceMs) {
  signal(pid, "SIGTERM");
  if (await gone(pid, graceMs)) return true;
  signal(pid, "SIGKILL");
  return gone(pid, 5000);
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

// True as soon as the process has ended, false if it has not within that time.
export async function gone(pid, waitMs) {
  for (const until = Date.now() + waitMs; Date.now() < until; ) {
    if (!alive(pid)) return true;
    await new Promise((done) => setTimeout(done, 20));
  }
  return !alive(pid);
}

// A process that ended but was not yet reaped by its parent counts as gone: it holds nothing.
export function alive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code !== "ESRCH";
  }
  return !(HAS_PROC && afterName(procFile(pid, "stat")).startsWith("Z"));
}

// Whether a server could listen there. Port 0 asks for any; the answer is the port, or null.
export async function listenable(port, host) {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, "listening");
    return server.address().port;
  } catch (error) {
    if (error.code === "EADDRINUSE" || error.code === "EACCES") return null;
    throw error;
  } finally {
    server.close();
  }
}
