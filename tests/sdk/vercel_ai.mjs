// Vercel's AI SDK with its OpenAI and Anthropic providers, through `postern proxy`. Prints one line per promise kept.

import assert from "node:assert";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { BASE_URL, TOKEN, DEAD_URL } = process.env;
const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const openai = createOpenAI({ baseURL: BASE_URL, apiKey: TOKEN });
const anthropic = createAnthropic({ baseURL: BASE_URL, apiKey: TOKEN });
const weather = tool({
  description: "The weather",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});

function kept(promise, condition) {
  assert.ok(condition, promise);
  console.log("kept:", promise);
}

async function failure(call) {
  return call().then(() => null, (error) => error);
}

async function refused(status, model) {
  const error = await failure(() => generateText({ model, prompt: "x", maxRetries: 0 }));
  kept(`status ${status}`, APICallError.isInstance(error) && error.statusCode === status);
}

async function texts(name, model) {
  const whole = await generateText({ model, prompt: "Say hello", maxRetries: 0 });
  kept(`${name}: chat`, whole.text === "Hello!" && whole.finishReason === "stop");
  kept(`${name}: usage`, whole.usage.inputTokens === 3 && whole.usage.outputTokens === 2);
  const stream = streamText({ model, prompt: "Say hello", maxRetries: 0 });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  kept(`${name}: stream`, pieces.length >= 2 && pieces.join("") === "Hello!");
  kept(`${name}: end of the stream`, (await stream.finishReason) === "stop" && (await stream.usage).outputTokens === 2);
}

async function more(name, model) {
  const content = [
    { type: "text", text: "What is this?" },
    { type: "image", image: PIXEL, mediaType: "image/png" },
  ];
  const shown = await generateText({ model, messages: [{ role: "user", content }], maxRetries: 0 });
  kept(`${name}: image`, shown.text === "Hello!");
  const asked = { model, prompt: "What is the weather?", tools: { weather }, stopWhen: stepCountIs(3), maxRetries: 0 };
  const called = await generateText(asked);
  const cities = called.steps[0].toolCalls.map((call) => call.input.city);
  kept(`${name}: parallel tools`, cities.join() === "Bonn,Kiel" && called.steps[0].finishReason === "tool-calls");
  kept(`${name}: tool results`, called.text === "Hello!" && called.steps.length === 2);
  const streamed = streamText(asked);
  await streamed.consumeStream();
  const steps = await streamed.steps;
  kept(`${name}: streamed tools`, steps[0].toolCalls.map((call) => call.input.city).join() === "Bonn,Kiel");
  kept(`${name}: text after streamed tools`, (await streamed.text) === "Hello!");
  const output = Output.object({ schema: z.object({ city: z.string() }) });
  const structured = await generateText({ model, prompt: "Where?", output, maxRetries: 0 });
  kept(`${name}: structured output`, structured.output.city === "Bonn");
}

const models = {
  "chat, same dialect": openai.chat("fake"),
  "chat, translated": openai.chat("claude"),
  "messages, same dialect": anthropic("claude"),
  "messages, translated": anthropic("fake"),
};
for (const [name, model] of Object.entries(models)) {
  await texts(name, model);
  await more(name, model);
}
await texts("responses, translated", openai.responses("fake"));
await more("responses, translated", openai.responses("fake"));
await texts("completions", openai.completion("fake"));
await texts("completions, translated", openai.completion("claude"));
const { embeddings } = await embedMany({ model: openai.embedding("fake"), values: ["a", "b"], maxRetries: 0 });
kept("embeddings", embeddings.length === 2 && embeddings[0].length > 0);

await refused(404, openai.chat("absent"));
await refused(404, anthropic("absent"));
await refused(401, createOpenAI({ baseURL: BASE_URL, apiKey: "wrong" }).chat("fake"));
await refused(401, createAnthropic({ baseURL: BASE_URL, apiKey: "wrong" })("claude"));
const dead = createOpenAI({ baseURL: DEAD_URL, apiKey: TOKEN }).chat("fake");
kept("no connection", APICallError.isInstance(await failure(() => generateText({ model: dead, prompt: "x", maxRetries: 0 }))));

const errors = [];
const broken = streamText({ model: openai.chat("breaking"), prompt: "x", maxRetries: 0, onError: ({ error }) => errors.push(error) });
const thrown = await failure(async () => {
  for await (const piece of broken.textStream) void piece;
});
kept("a broken stream is an error", thrown !== null || errors.length > 0);

for (const model of [openai.chat("fake"), anthropic("claude")]) {
  const stop = new AbortController();
  const endless = streamText({ model, prompt: "Never end", abortSignal: stop.signal, maxRetries: 0, onError: () => {} });
  let first;
  for await (const piece of endless.textStream) {
    first = piece;
    stop.abort();
  }
  kept("cancelled after the first text", first === "Hel");
  const late = await failure(() =>
    generateText({ model, prompt: "Never answer", abortSignal: AbortSignal.timeout(1000), maxRetries: 0 }),
  );
  kept("a timeout is an error", late !== null);
}
