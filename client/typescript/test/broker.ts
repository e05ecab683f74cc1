import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";

/** The program, as make build leaves it. npm runs scripts in the folder of package.json. */
const program = path.resolve("../../bin/topiq");

export interface Broker {
  url: string;
  stop(): Promise<void>;
}

/** Starts a broker on a free port and an empty store. */
export async function startBroker(): Promise<Broker> {
  const broker = spawn(program, ["serve", "--addr=127.0.0.1:0", "--store=memory:", "--log-level=warn"], {
    // What the shell of a developer sets must not change what is tested.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TOPIQ_"))),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(broker, "close"); // Rejects when it cannot be started.
  const kill = () => broker.kill("SIGKILL");
  process.once("exit", kill);

  const line = once(createInterface(broker.stdout), "line").then(String);
  const first = await Promise.race([line, ended.then(([code]) => `nothing, and ended with ${code}`)]);
  const url = /listens on (http:\/\/[^\s;]+)/.exec(first)?.[1];
  if (url === undefined) {
    kill();
    throw new Error(`${program} said ${first}`);
  }
  return {
    url,
    async stop() {
      broker.kill();
      await ended;
      process.off("exit", kill);
    },
  };
}
