"""The official Anthropic SDK for Python, through `postern proxy`. Prints one line per promise kept."""

import hashlib
import json
import os

import anthropic

BASE_URL, TOKEN = os.environ["BASE_URL"].removesuffix("/v1"), os.environ["TOKEN"]
MESSAGES = [{"role": "user", "content": "Say hello"}]
BETA = "context-1m-2025-08-07,made-up-beta-2030-01-01"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {
    "name": "weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def sent(request):
    """What the test compares with what the provider saw."""
    if request.url.path == "/v1/messages":
        print("sent:", hashlib.sha256(request.read()).hexdigest(), request.headers.get("anthropic-beta", ""))


def client(token=TOKEN, timeout=20):
    hooked = anthropic.DefaultHttpxClient(event_hooks={"request": [sent]}, timeout=timeout)
    return anthropic.Anthropic(base_url=BASE_URL, api_key=token, max_retries=0, http_client=hooked)


def kept(promise, condition):
    assert condition, promise
    print("kept:", promise)


def refused(kind, call):
    try:
        call()
    except anthropic.APIError as error:
        kept(f"{kind.__name__}", type(error) is kind)
        return
    raise AssertionError(f"no {kind.__name__}")


def ask(good, model, **changes):
    return {"model": model, "max_tokens": 64, "messages": MESSAGES, **changes}


def text(good, model):
    whole = good.messages.create(**ask(good, model))
    kept(f"{model}: chat", whole.content[0].text == "Hello!" and whole.stop_reason == "end_turn")
    kept(f"{model}: usage", (whole.usage.input_tokens, whole.usage.output_tokens) == (3, 2))
    raw = [event.type for event in good.messages.create(stream=True, **ask(good, model)) if event.type != "ping"]
    middle = raw[2:-3]
    kept(f"{model}: beginning", raw[:2] == ["message_start", "content_block_start"])
    kept(f"{model}: middle", middle and set(middle) == {"content_block_delta"})
    kept(f"{model}: end", raw[-3:] == ["content_block_stop", "message_delta", "message_stop"])
    with good.messages.stream(**ask(good, model)) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    kept(f"{model}: streamed text", streamed == "Hello!" and final.stop_reason == "end_turn")
    kept(f"{model}: streamed usage", final.usage.output_tokens == 2)


def tools(good, model):
    whole = good.messages.create(**ask(good, model, tools=[TOOL]))
    calls = [(block.name, block.input["city"]) for block in whole.content if block.type == "tool_use"]
    wanted = [("weather", "Bonn"), ("weather", "Kiel")]
    kept(f"{model}: parallel tools", calls == wanted and whole.stop_reason == "tool_use")
    with good.messages.stream(**ask(good, model, tools=[TOOL])) as stream:
        final = stream.get_final_message()
    calls = [(block.name, block.input["city"]) for block in final.content if block.type == "tool_use"]
    kept(f"{model}: streamed tools", calls == wanted and final.stop_reason == "tool_use")
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        for block in final.content
        if block.type == "tool_use"
    ]
    content = [block.model_dump(include={"type", "id", "name", "input"}) for block in final.content]
    messages = MESSAGES + [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    after = good.messages.create(**ask(good, model, tools=[TOOL], messages=messages))
    kept(f"{model}: tool results", after.content[0].text == "Hello!")


def parts(good, model):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]
    system = [{"type": "text", "text": "First block."}, {"type": "text", "text": "Second block."}]
    whole = good.messages.create(**ask(good, model, messages=messages, system=system))
    kept(f"{model}: image and system", whole.content[0].text == "Hello!")
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    structured = good.messages.create(**ask(good, model, output_config=form))
    kept(f"{model}: structured output", json.loads(structured.content[0].text) == {"city": "Bonn"})


def refusals(good, model):
    refused(anthropic.NotFoundError, lambda: good.messages.create(**ask(good, "absent")))
    refused(anthropic.BadRequestError, lambda: good.messages.create(**ask(good, model, messages="not a list")))
    refused(anthropic.AuthenticationError, lambda: client("wrong").messages.create(**ask(good, model)))
    late = [{"role": "user", "content": "Never answer"}]
    refused(anthropic.APITimeoutError, lambda: client(timeout=1).messages.create(**ask(good, model, messages=late)))


def main():
    good = client()
    for model in ["claude", "fake"]:
        text(good, model)
        tools(good, model)
        parts(good, model)
        refusals(good, model)
        endless = [{"role": "user", "content": "Never end"}]
        with good.messages.stream(**ask(good, model, messages=endless)) as stream:
            kept(f"{model}: first text before the end", next(iter(stream.text_stream)) == "Hel")
    for model in ["failing-over", "dying-over"]:
        text(good, model)
    beta = good.beta.messages.create(betas=BETA.split(","), **ask(good, "claude"))
    kept("beta", beta.content[0].text == "Hello!")
    kept("count", good.messages.count_tokens(model="claude", messages=MESSAGES).input_tokens == 7)
    kept("models", {"claude", "fake"} <= {model.id for model in good.models.list()})


main()
