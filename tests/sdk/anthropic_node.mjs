// The official Anthropic SDK for Node, through `postern proxy`. Prints one line per promise kept.

import assert from "node:assert";
import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";

const { BASE_URL, TOKEN } = process.env;
const baseURL = BASE_URL.replace(/\/v1$/, "");
const client = (apiKey = TOKEN) => new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
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
  kept(`${model}: parallel tools`, cities(await good.messages.create(ask(model, { tools }))) === "Bonn,Kiel");
  kept(`${model}: streamed tools`, cities(await good.messages.stream(ask(model, { tools })).finalMessage()) === "Bonn,Kiel");
  await refused(NotFoundError, () => good.messages.create(ask("absent")));
  await refused(BadRequestError, () => good.messages.create(ask(model, { messages: "not a list" })));
  await refused(AuthenticationError, () => client("wrong").messages.create(ask(model)));
  const endless = good.messages.stream(ask(model, { messages: [{ role: "user", content: "Never end" }] }));
  for await (const event of endless) if (event.type === "content_block_delta") break;
  endless.abort();
  kept(`${model}: cancel`, endless.aborted || endless.controller.signal.aborted);
}
kept("count", (await good.messages.countTokens({ model: "claude", messages: ask("").messages })).input_tokens === 7);
const models = [];
for await (const model of good.models.list()) models.push(model.id);
kept("models", models.includes("claude") && models.includes("fake"));
