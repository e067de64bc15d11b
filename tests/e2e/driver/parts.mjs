// Starts the parts of the test as child processes and ends every one of them, also when the test fails or is interrupted.
// A part says where it listens by printing lines like "listening on http://127.0.0.1:4711"; nobody chooses a port beforehand.

import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";

/** Milliseconds of CLOCK_MONOTONIC: the one clock of every part. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** Asks `condition` until it gives something truthy, and gives that; says `what` it waited for when the deadline comes first. */
export async function until(what, condition, deadline = 15_000) {
  const end = now() + deadline;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (now() > end) throw new Error(`waited ${deadline} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Parts {
  #logs;
  #children = [];

  constructor(logs) {
    mkdirSync(logs, { recursive: true });
    this.#logs = logs;
  }

  /** Starts a program and waits until it has printed an address for each of `words`; gives a map from word to URLs. */
  async start(name, [program, ...args], { env = {}, words = ["listening"], cwd } = {}) {
    const log = path.join(this.#logs, `${name}.log`);
    const output = createWriteStream(log);
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const part = { name, log, child, ended: null };
    part.end = new Promise((resolve) => {
      child.on("error", (error) => resolve((part.ended = `could not start: ${error.message}`)));
      child.on("close", (code, signal) => resolve((part.ended = signal ?? code)));
    });
    this.#children.push(part);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipe(output, { end: false });
      stream.on("data", (chunk) => (said += chunk));
    }
    part.urls = {};
    await until(`${name} to say where it listens (see ${log})`, () => {
      if (part.ended !== null) throw new Error(`${name} ended (${part.ended}):\n${said.slice(-4000)}`);
      for (const word of words) part.urls[word] = [...said.matchAll(new RegExp(`^${word} on (http://\\S+)$`, "gm"))].map((m) => m[1]);
      return words.every((word) => part.urls[word].length > 0);
    }, 60_000);
    return part;
  }

  /** Asks a part to end as an operator would, and gives its exit status. */
  async stop(part, deadline = 10_000) {
    if (part.ended === null) part.child.kill("SIGTERM");
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, deadline, "late")));
    const status = await Promise.race([part.end, late]);
    clearTimeout(timer);
    if (status === "late") {
      part.child.kill("SIGKILL");
      await part.end;
    }
    return status;
  }

  /** Ends whatever is still there, the last started first. */
  async stopAll() {
    for (const part of this.#children.toReversed()) await this.stop(part, 3_000);
  }

  /** The last lines of every part's output, for a report of a failure. */
  async tails() {
    const tail = async ({ name, log }) => `--- ${name} (${log})\n${(await readFile(log, "utf8")).split("\n").slice(-15).join("\n")}`;
    return (await Promise.all(this.#children.map(tail))).join("\n");
  }
}
