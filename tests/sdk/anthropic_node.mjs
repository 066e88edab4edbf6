// The official Anthropic SDK for Node, through `postern proxy`. Prints one line per promise kept.

import assert from "node:assert";
import Anthropic, { APIConnectionTimeoutError, AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";

const { BASE_URL, TOKEN } = process.env;
const baseURL = BASE_URL.replace(/\/v1$/, "");
const client = (apiKey = TOKEN, timeout = 20_000) => new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout });
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const ask = (model, changes = {}) => ({ model, max_tokens: 64, messages: [{ role: "user", content: "Say hello" }], ...changes });
const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];

function kept(promise, condition) {
  assert.ok(condition, promise);
  console.log("kept:", promise);
}

async function refused(kind, call) {
  const error = await call().then(() => null, (error) => error);
  kept(kind.name, error instanceof kind);
}

const cities = (message) => message.content.filter((block) => block.type === "tool_use").map((block) => block.input.city).join();

const good = client();
for (const model of ["claude", "fake"]) {
  const whole = await good.messages.create(ask(model));
  kept(`${model}: chat`, whole.content[0].text === "Hello!" && whole.usage.output_tokens === 2);
  const stream = good.messages.stream(ask(model));
  const events = [];
  for await (const event of stream) if (event.type !== "ping") events.push(event.type);
  kept(`${model}: events`, events[0] === "message_start" && events.at(-1) === "message_stop");
  const final = await stream.finalMessage();
  kept(`${model}: stream`, final.content[0].text === "Hello!" && final.usage.output_tokens === 2);
  const called = await good.messages.create(ask(model, { tools }));
  kept(`${model}: parallel tools`, cities(called) === "Bonn,Kiel");
  const results = called.content.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "rain" }));
  const after = [...ask("").messages, { role: "assistant", content: called.content }, { role: "user", content: results }];
  kept(`${model}: tool results`, (await good.messages.create(ask(model, { tools, messages: after }))).content[0].text === "Hello!");
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } };
  const shown = [{ role: "user", content: [image, { type: "text", text: "What is this?" }] }];
  kept(`${model}: image`, (await good.messages.create(ask(model, { messages: shown }))).content[0].text === "Hello!");
  const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
  const structured = await good.messages.create(ask(model, { output_config: { format: { type: "json_schema", schema } } }));
  kept(`${model}: structured output`, JSON.parse(structured.content[0].text).city === "Bonn");
  kept(`${model}: streamed tools`, cities(await good.messages.stream(ask(model, { tools })).finalMessage()) === "Bonn,Kiel");
  await refused(NotFoundError, () => good.messages.create(ask("absent")));
  await refused(BadRequestError, () => good.messages.create(ask(model, { messages: "not a list" })));
  await refused(AuthenticationError, () => client("wrong").messages.create(ask(model)));
  const late = [{ role: "user", content: "Never answer" }];
  await refused(APIConnectionTimeoutError, () => client(TOKEN, 1000).messages.create(ask(model, { messages: late })));
  const endless = good.messages.stream(ask(model, { messages: [{ role: "user", content: "Never end" }] }));
  for await (const event of endless) if (event.type === "content_block_delta") break;
  endless.abort();
  kept(`${model}: cancel`, endless.aborted || endless.controller.signal.aborted);
}
kept("count", (await good.messages.countTokens({ model: "claude", messages: ask("").messages })).input_tokens === 7);
const models = [];
for await (const model of good.models.list()) models.push(model.id);
kept("models", models.includes("claude") && models.includes("fake"));
