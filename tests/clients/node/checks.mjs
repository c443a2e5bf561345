// What the clients of Node share: the plan, servers to talk to, and the count of what was checked.

import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

export const plan = JSON.parse(readFileSync(process.env.WALL_PLAN, "utf8"));

let checked = 0;
let failed = 0;

export function check(what, holds, detail = "") {
  checked += 1;
  if (!holds) {
    failed += 1;
    console.log(`FAILED ${what}: ${typeof detail === "string" ? detail : JSON.stringify(detail)}`);
  }
}

export function equal(what, found, wanted) {
  check(what, isDeepStrictEqual(found, wanted), { found, wanted });
}

// Counts an exception as a failure of what was being done, and goes on with the next.
export async function attempt(what, action) {
  try {
    await action();
  } catch (error) {
    check(what, false, error?.stack ?? String(error));
  }
}

// The last line tells the runner how many checks there were.
export function report() {
  console.log(`${checked} checks, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

// A server with an account and a store of its own, as the SDKs' transports start it.
export function server(settings = {}) {
  const home = mkdtempSync(join(process.env.WALL_HOME, "server-"));
  return {
    command: process.env.WALL_SERVER,
    args: [],
    cwd: home,
    env: {
      PATH: process.env.PATH,
      HOME: home,
      PIV_SANDBOX: "true",
      PIV_DATA_DIR: home,
      PIV_WEBHOOK_PORT: "0",
      PIV_CONFIRM_CHANNEL: "elicit",
      PIV_LOG_LEVEL: "WARNING",
      ...settings,
    },
  };
}

export async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  return port;
}

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// A person reads the question before they answer.
export const read = () => sleep(plan.read_seconds + 0.2);

export async function until(look, what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await sleep(0.05);
  }
}

// A call's arguments, with what earlier answers told.
export function filled(values, answers) {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value?.answer_of === undefined ? value : value.path.reduce((part, key) => part[key], answers[value.answer_of]),
    ]),
  );
}
