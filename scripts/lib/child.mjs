// A program kept running: started again, with growing pauses, when it ends by itself; ended within a
// deadline when asked. Its pid is in a file, so that a later start finds it if we are killed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { removePid, writePid } from "./processes.mjs";

const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 10_000;
// Having run this long, a program is taken to be well, and the pauses start anew.
const WELL_MS = 60_000;

export class Child {
  #options;
  #process = null;
  #stopping = false;
  #pause = FIRST_PAUSE_MS;
  #timer;

  // name: for messages; command, args, env, stdio: as for spawn; pidFile; say(line): where news goes;
  // onStart(process): called for each process started.
  constructor(options) {
    this.#options = options;
  }

  start() {
    const { command, args, env, stdio, pidFile, onStart } = this.#options;
    const startedAt = Date.now();
    const child = (this.#process = spawn(command, args, { env, stdio }));
    if (child.pid !== undefined) writePid(pidFile, child.pid);
    child.once("error", (error) => this.#ended(startedAt, error.message));
    child.once("exit", (code, signal) => this.#ended(startedAt, signal ?? `status ${code}`));
    onStart?.(child);
    return this;
  }

  // True from start() until the program has ended.
  get running() {
    return this.#process !== null;
  }

  #ended(startedAt, how) {
    this.#process = null;
    if (this.#stopping) return;
    if (Date.now() - startedAt >= WELL_MS) this.#pause = FIRST_PAUSE_MS;
    // A Ctrl-C reaches the whole process group: the pause is also the time to hear of it ourselves.
    this.#timer = setTimeout(() => {
      this.#options.say(`${this.#options.name} ended (${how}); starting it again`);
      this.start();
    }, this.#pause);
    this.#pause = Math.min(this.#pause * 2, LAST_PAUSE_MS);
  }

  // Asks it to end and, after `graceMs`, makes it.
  async stop(graceMs) {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#process;
    if (child !== null) {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const insist = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await exited;
      clearTimeout(insist);
    }
    removePid(this.#options.pidFile);
  }

  // For the last moment, when nothing can be waited for.
  kill() {
    this.#stopping = true;
    this.#process?.kill("SIGKILL");
  }
}
