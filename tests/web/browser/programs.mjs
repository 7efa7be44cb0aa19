// Programs that a test starts. They never outlive the tests.

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";

const DEADLINE_MS = 10_000;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

export class Program {
  #child;
  #waiting = new Set();
  output = "";
  errors = "";

  constructor(command, args, env = process.env) {
    this.#child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.#child);
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(String(error)));
      this.#child.once("exit", (code, signal) => resolve(signal ?? code));
    }).finally(() => running.delete(this.#child));
    this.#child.stderr.on("data", (data) => (this.errors += data));
    this.#child.stdout.on("data", (data) => {
      this.output += data;
      for (const look of this.#waiting) look();
    });
  }

  /** The last match, as soon as the program has printed one. */
  async line(pattern) {
    const found = new Promise((resolve) => {
      const look = () => {
        const printed = this.output.slice(0, this.output.lastIndexOf("\n") + 1);
        const match = [...printed.matchAll(new RegExp(pattern, "gm"))].at(-1);
        if (match === undefined) return;
        this.#waiting.delete(look);
        resolve(match);
      };
      this.#waiting.add(look);
      look();
    });
    return within(DEADLINE_MS, `${pattern}`, Promise.race([found, this.#ending()]), () => this.errors);
  }

  async #ending() {
    const how = await this.ended;
    throw new Error(`the program ended (${how}): ${this.errors}`);
  }

  async stop() {
    this.#child.kill("SIGTERM");
    const deadline = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
    await this.ended;
    clearTimeout(deadline);
  }
}

/** The promise's result, or an error after a deadline. */
export async function within(ms, what, promise, more = () => "") {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what} ${more()}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Polls `look` until its result is truthy, and returns it. */
export async function until(what, look, ms = DEADLINE_MS) {
  const end = performance.now() + ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Waits for the program to take connections. */
export async function reachable(port, program) {
  let how;
  program.ended.then((ended) => (how = ended));
  await until(`a server on port ${port}`, async () => {
    if (how !== undefined) throw new Error(`the server ended (${how}): ${program.errors}`);
    const socket = net.connect(port, "127.0.0.1");
    const connected = once(socket, "connect").then(() => true, () => false);
    return connected.finally(() => socket.destroy());
  });
}
