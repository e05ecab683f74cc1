// How a program uses a client that was generated from openapi.yaml. The types in generated/topiq.ts are all that
// is generated; openapi-fetch calls fetch with them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "../generated/topiq.js";
import { type Broker, startBroker } from "./broker.js";

type LogMessage = components["schemas"]["LogMessage"];

let broker: Broker;
before(async () => {
  broker = await startBroker();
});
after(() => broker.stop());

function connect(network: typeof fetch = fetch) {
  return createClient<paths>({ baseUrl: broker.url, fetch: network });
}

/** The data of an answer, or an error that says why it was refused. */
function data<T>(answer: { data?: T; error?: components["schemas"]["Failure"] }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.error?.code}: ${answer.error?.message}`);
  }
  return answer.data;
}

/**
 * Sends a request until it is settled: a lost connection and a 5xx leave open what came of it. Only for what may be
 * repeated blindly, such as produce with seq and consume with offset.
 */
async function settled<T extends { response: Response }>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await send();
      if (answer.response.status < 500 || attempt === 10) {
        return answer;
      }
    } catch (lost) {
      if (attempt === 10) {
        throw lost;
      }
    }
    await sleep(Math.min(10 * 2 ** attempt, 1000));
  }
}

/** All messages of a topic, read as a consumer that says with each call what it has. */
async function consumeAll(topic: string): Promise<LogMessage[]> {
  const topiq = connect();
  const consumer = data(await topiq.POST("/consumer/register", { body: { topic, cons_name: "reader" } }));
  const messages: LogMessage[] = [];
  for (let offset = consumer.offset; ; ) {
    const body = { topic, consumer_id: consumer.consumer_id, offset, limit: 1, incarnation: consumer.incarnation };
    const answer = data(await settled(() => topiq.POST("/consumer/consume", { body })));
    if (answer.messages === undefined || answer.messages.length === 0) {
      return messages;
    }
    messages.push(...answer.messages);
    offset = answer.offset;
  }
}

test("text and bytes come back as they were", async () => {
  const topiq = connect();
  const topic = "roundtrip";
  const text = "Grüße, 世界 🌍\n\u0000";
  const bytes = Buffer.from([0, 1, 2, 0xfe, 0xff]);

  const producer = data(await topiq.POST("/producer/register", { body: { topic, prod_name: "shop" } }));
  const stored = data(
    await topiq.POST("/producer/produce", {
      body: {
        topic,
        producer_id: producer.producer_id,
        seq: 0,
        messages: [
          { message: text, headers: { "content-language": "de" } },
          { message_base64: bytes.toString("base64") },
          { message: "" },
        ],
      },
    }),
  );
  assert.deepEqual([stored.offset, stored.count, stored.duplicate, stored.durable], [0, 3, false, "memory"]);

  const [first, second, third, ...more] = await consumeAll(topic);
  assert.deepEqual([first?.offset, first?.seq, first?.message], [0, 0, text]);
  assert.equal(first?.headers?.["content-language"], "de");
  assert.deepEqual([second?.offset, second?.message], [1, undefined]);
  assert.deepEqual(Buffer.from(second?.message_base64 ?? "", "base64"), bytes);
  assert.deepEqual([third?.offset, third?.message, third?.message_base64], [2, "", undefined]);
  assert.deepEqual(more, []);
});

test("the answer is lost, and the message is stored once", async () => {
  const topic = "lost";
  let lost = 0;
  const topiq = connect(async (...request) => {
    const response = await fetch(...request);
    if (response.url.endsWith("/producer/produce") && lost < 3) {
      lost++;
      assert.equal(response.status, 200); // The broker has stored it, but the caller will not know.
      await response.arrayBuffer();
      throw new TypeError("fetch failed");
    }
    return response;
  });

  const producer = data(await topiq.POST("/producer/register", { body: { topic, prod_name: "shop" } }));
  const seq = producer.next_seq ?? 0;
  const body = { topic, producer_id: producer.producer_id, seq, message: "only once" };
  const stored = data(await settled(() => topiq.POST("/producer/produce", { body })));
  assert.equal(lost, 3);
  assert.deepEqual([stored.duplicate, stored.offset, stored.count], [true, 0, 1]);

  const messages = await consumeAll(topic);
  assert.deepEqual(messages.map(({ offset, message }) => [offset, message]), [[0, "only once"]]);
  const facts = data(await topiq.GET("/topics/{topic}", { params: { path: { topic } } }));
  assert.deepEqual([facts.messages, facts.next_offset], [1, 1]);
});

test("refusals have a code and its facts", async () => {
  const topiq = connect();
  const topic = "refused";
  const producer = data(await topiq.POST("/producer/register", { body: { topic, prod_name: "shop" } }));
  const { error, response } = await topiq.POST("/producer/produce", {
    body: { topic, producer_id: producer.producer_id, seq: 7, message: "too early" },
  });
  assert.deepEqual([response.status, error?.code, error?.expected_seq], [409, "seq_gap", 0]);

  // @ts-expect-error A request without a producer does not compile.
  const wrong = await topiq.POST("/producer/produce", { body: { topic, message: "from nobody" } });
  assert.deepEqual([wrong.error?.code, wrong.error?.field], ["invalid_request", "producer_id"]);
});
