// The official OpenAI SDK for Node, through `postern proxy`. Prints one line per promise kept.

import assert from "node:assert";
import OpenAI, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
} from "openai";

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

const [numbers, base64] = await Promise.all(
  ["float", undefined].map((encoding_format) => good.embeddings.create({ model: "fake", input: ["a", "b"], encoding_format })),
);
kept("embeddings in base64", base64.data[1].embedding.join() === numbers.data[1].embedding.join());

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", function: { name: "weather", parameters, strict: true } }];
const image = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } };
for (const model of ["fake", "claude"]) {
  const cities = (completion) => completion.choices[0].message.tool_calls.map((call) => JSON.parse(call.function.arguments).city).join();
  kept(`${model}: parallel tools`, cities(await good.chat.completions.create({ model, messages, tools })) === "Bonn,Kiel");
  kept(`${model}: streamed tools`, cities(await good.chat.completions.stream({ model, messages, tools }).finalChatCompletion()) === "Bonn,Kiel");
  const shown = [{ role: "user", content: [{ type: "text", text: "What is this?" }, image] }];
  const said = async (changes) => (await good.chat.completions.create({ model, messages, ...changes })).choices[0].message.content;
  kept(`${model}: image`, (await said({ messages: shown })) === "Hello!");
  const response_format = { type: "json_schema", json_schema: { name: "place", schema: parameters, strict: true } };
  kept(`${model}: structured output`, JSON.parse(await said({ response_format })).city === "Bonn");
  const completion = await good.completions.create({ model, prompt: "Say hello", max_tokens: 9 });
  kept(`${model}: completion`, completion.choices[0].text === "Hello!");
  const response = await good.responses.create({ model, input: "Say hello" });
  kept(`${model}: response`, response.output_text === "Hello!" && response.status === "completed");
  const final = await good.responses.stream({ model, input: "Say hello" }).finalResponse();
  kept(`${model}: streamed response`, final.output[0].content[0].text === "Hello!");
  const endless = await good.chat.completions.create({ model, messages: [{ role: "user", content: "Never end" }], stream: true });
  let first;
  for await (const piece of endless) if ((first = piece.choices[0]?.delta?.content)) break;
  kept(`${model}: cancelled after the first text`, first === "Hel");
  const late = [{ role: "user", content: "Never answer" }];
  await refused(APIConnectionTimeoutError, () => client({ timeout: 1000 }).chat.completions.create({ model, messages: late }));
}

await refused(NotFoundError, () => good.chat.completions.create({ model: "absent", messages }));
await refused(BadRequestError, () => good.chat.completions.create({ model: "builtin", messages: "not a list" }));
await refused(AuthenticationError, () => client({ apiKey: "wrong" }).models.list());
await refused(APIConnectionError, () => client({ baseURL: DEAD_URL }).models.list());

const broken = async () => {
  for await (const piece of await good.chat.completions.create({ model: "breaking", messages, stream: true })) void piece;
};
const error = await broken().then(() => null, (error) => error);
kept("a broken stream throws", error instanceof APIError || error instanceof Error);
