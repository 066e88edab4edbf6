// The official OpenAI SDK for Node, through `postern proxy`. Prints one line per promise kept.

import assert from "node:assert";
import OpenAI, { APIConnectionError, APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";

const { BASE_URL, TOKEN, DEAD_URL } = process.env;
const messages = [{ role: "user", content: "Say hello" }];
const client = (changes = {}) => new OpenAI({ baseURL: BASE_URL, apiKey: TOKEN, maxRetries: 0, timeout: 20_000, ...changes });

function kept(promise, condition) {
  assert.ok(condition, promise);
  console.log("kept:", promise);
}

async function refused(kind, call) {
  const error = await call().then(() => null, (error) => error);
  kept(kind.name, error instanceof kind);
}

const good = client();
const whole = await good.chat.completions.create({ model: "builtin", messages });
kept("chat", whole.choices[0].message.content && whole.choices[0].finish_reason === "stop");

let text = "";
let pieces = 0;
for await (const piece of await good.chat.completions.create({ model: "builtin", messages, stream: true })) {
  text += piece.choices[0]?.delta?.content ?? "";
  pieces += 1;
}
kept("stream", pieces > 2 && text === whole.choices[0].message.content);

const embedding = await good.embeddings.create({ model: "builtin", input: "a" });
kept("embeddings", embedding.data[0].embedding.length > 0);
const models = [];
for await (const model of await good.models.list()) models.push(model.id);
kept("models", models.includes("builtin"));

await refused(NotFoundError, () => good.chat.completions.create({ model: "absent", messages }));
await refused(BadRequestError, () => good.chat.completions.create({ model: "builtin", messages: "not a list" }));
await refused(AuthenticationError, () => client({ apiKey: "wrong" }).models.list());
await refused(APIConnectionError, () => client({ baseURL: DEAD_URL }).models.list());

const broken = async () => {
  for await (const piece of await good.chat.completions.create({ model: "breaking", messages, stream: true })) void piece;
};
const error = await broken().then(() => null, (error) => error);
kept("a broken stream throws", error instanceof APIError || error instanceof Error);
