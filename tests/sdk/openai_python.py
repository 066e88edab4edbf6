"""The official OpenAI SDK for Python, through `postern proxy`. Prints one line per promise kept."""

import json
import os

import openai

BASE_URL, TOKEN, DEAD_URL = os.environ["BASE_URL"], os.environ["TOKEN"], os.environ["DEAD_URL"]
MESSAGES = [{"role": "user", "content": "Say hello"}]


def client(**changes):
    return openai.OpenAI(**{"base_url": BASE_URL, "api_key": TOKEN, "max_retries": 0, "timeout": 20, **changes})


def kept(promise, condition):
    assert condition, promise
    print("kept:", promise)


def refused(kind, call):
    try:
        call()
    except openai.APIError as error:
        kept(f"{kind.__name__}", type(error) is kind)
        return error
    raise AssertionError(f"no {kind.__name__}")


def responses(good):
    """The Responses API, bridged to a provider that has chat completions only."""
    answer = good.responses.create(model="fake", input="Say hello")
    kept("response", answer.output_text == "Hello!" and answer.status == "completed")
    kept("usage of a response", answer.usage.total_tokens == 5)
    with good.responses.stream(model="fake", input="Say hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kept("events in order", events[0].type == "response.created" and events[-1].type == "response.completed")
    kept("numbered events", [event.sequence_number for event in events] == sorted(event.sequence_number for event in events))
    kept("streamed response", final.output_text == "Hello!" and final.usage.total_tokens == 5)
    counted = good.responses.input_tokens.count(model="fake", input="Say hello")
    kept("input tokens", counted.object == "response.input_tokens" and counted.input_tokens > 0)
    refused(openai.BadRequestError, lambda: good.responses.create(model="fake", input="x", previous_response_id="r"))
    refused(openai.BadRequestError, lambda: good.responses.create(model="fake", input="x", store=True))
    refused(openai.NotFoundError, lambda: good.responses.retrieve("resp_1"))
    refused(openai.NotFoundError, lambda: good.responses.delete("resp_1"))
    refused(openai.NotFoundError, lambda: good.responses.cancel("resp_1"))
    refused(openai.NotFoundError, lambda: good.responses.input_items.list("resp_1"))


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, "strict": True}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": PARAMETERS, "strict": True}}


def more(good, model):
    """Tools, images and structured answers, on a provider of the same dialect and on another."""
    ask = good.chat.completions.create
    message = ask(model=model, messages=MESSAGES, tools=[TOOL]).choices[0].message
    cities = [json.loads(call.function.arguments)["city"] for call in message.tool_calls]
    kept(f"{model}: parallel tools", cities == ["Bonn", "Kiel"])
    with good.chat.completions.stream(model=model, messages=MESSAGES, tools=[TOOL]) as stream:
        final = stream.get_final_completion().choices[0]
    streamed = [json.loads(call.function.arguments)["city"] for call in final.message.tool_calls]
    kept(f"{model}: streamed tools", streamed == cities and final.finish_reason == "tool_calls")
    results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls]
    after = ask(model=model, messages=[*MESSAGES, message, *results], tools=[TOOL])
    kept(f"{model}: tool results", after.choices[0].message.content == "Hello!")
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    shown = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    kept(f"{model}: image", ask(model=model, messages=shown).choices[0].message.content == "Hello!")
    structured = ask(model=model, messages=MESSAGES, response_format=SCHEMA).choices[0].message.content
    kept(f"{model}: structured output", json.loads(structured) == {"city": "Bonn"})
    with ask(model=model, messages=[{"role": "user", "content": "Never end"}], stream=True) as endless:
        first = next(piece for piece in endless if piece.choices and piece.choices[0].delta.content)
    kept(f"{model}: cancelled after the first text", first.choices[0].delta.content == "Hel")
    late = [{"role": "user", "content": "Never answer"}]
    refused(openai.APITimeoutError, lambda: client(timeout=1).chat.completions.create(model=model, messages=late))


def completions(good):
    """The older API, natively and as a conversation."""
    for model in ["fake", "claude"]:
        whole = good.completions.create(model=model, prompt="Say hello", max_tokens=9)
        kept(f"{model}: completion", whole.choices[0].text == "Hello!" and whole.usage.total_tokens == 5)
        pieces = list(good.completions.create(model=model, prompt="Say hello", max_tokens=9, stream=True))
        text = "".join(piece.choices[0].text for piece in pieces)
        kept(f"{model}: streamed completion", text == "Hello!" and pieces[-1].choices[0].finish_reason == "stop")
    echoed = good.completions.create(model="fake", prompt="Well. ", echo=True)
    kept("echo, where the provider has it", echoed.choices[0].text == "Well. Hello!")
    refused(openai.BadRequestError, lambda: good.completions.create(model="claude", prompt="x", echo=True))
    refused(openai.BadRequestError, lambda: good.completions.create(model="claude", prompt=["x", "y"]))


def vendor(good, model):
    """Chat completions on a provider that has an API of its own."""
    whole = good.chat.completions.create(model=model, messages=MESSAGES)
    kept(f"{model}: whole", whole.choices[0].message.content == "Hello!" and whole.usage.total_tokens == 5)
    pieces = list(good.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    kept(f"{model}: stream", text == "Hello!" and pieces[-1].choices[0].finish_reason == "stop")


def searched(good):
    """Pages that an answer of another vendor's model rests on, as this SDK has them."""
    search = {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"country": "DE"}}}
    asked = {"model": "claude", "messages": MESSAGES, "web_search_options": search}
    message = good.chat.completions.create(**asked).choices[0].message
    page = message.annotations[0].url_citation
    kept("citations", page.url == "https://weather.example/bonn" and page.title == "Bonn")
    kept("what they are of", message.content[page.start_index : page.end_index] == "it rains")
    pieces = [piece.choices[0].delta for piece in good.chat.completions.create(**asked, stream=True) if piece.choices]
    pages = [page["url_citation"] for piece in pieces for page in (piece.model_extra or {}).get("annotations", [])]
    text = "".join(piece.content or "" for piece in pieces)
    kept("streamed citations", [text[page["start_index"] : page["end_index"]] for page in pages] == ["it rains"])
    answer = good.responses.create(model="claude", input="Say hello", tools=[{"type": "web_search"}])
    part = answer.output[0].content[0]
    page = part.annotations[0]
    kept("citations of a response", page.type == "url_citation" and part.text[page.start_index : page.end_index] == "it rains")
    with good.responses.stream(model="claude", input="Say hello", tools=[{"type": "web_search"}]) as stream:
        added = [event for event in stream if event.type == "response.output_text.annotation.added"]
        part = stream.get_final_response().output[0].content[0]
    kept("streamed citations of a response", len(added) == 1 and part.annotations[0].url == "https://weather.example/bonn")


def main():
    good = client()
    whole = good.chat.completions.create(model="builtin", messages=MESSAGES)
    kept("chat", whole.choices[0].message.content and whole.choices[0].finish_reason == "stop")
    kept("usage of a whole answer", whole.usage.total_tokens > 0)

    pieces = list(good.chat.completions.create(model="builtin", messages=MESSAGES, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    kept("stream", len(pieces) > 2 and text == whole.choices[0].message.content)
    kept("no usage unless asked for", all(piece.usage is None for piece in pieces))
    pieces = list(
        good.chat.completions.create(
            model="builtin", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    kept("usage when asked for", pieces[-1].usage.total_tokens > 0)

    embedding = good.embeddings.create(model="builtin", input=["a", "b"])
    kept("embeddings", len(embedding.data) == 2 and len(embedding.data[0].embedding) > 0)
    kept("models", "builtin" in [model.id for model in good.models.list()])
    kept("one model", good.models.retrieve("builtin").id == "builtin")

    numbers = good.embeddings.create(model="fake", input=["a", "b"], encoding_format="float")
    base64 = good.embeddings.create(model="fake", input=["a", "b"])  # the SDK asks for base64 by itself
    kept("embeddings in base64", [one.embedding for one in base64.data] == [one.embedding for one in numbers.data])

    responses(good)
    searched(good)
    completions(good)
    for model in ["fake", "claude"]:
        more(good, model)
    for model in ["gemini", "bedrock", "failing-over", "dying-over"]:
        vendor(good, model)

    ask = good.chat.completions.create
    refused(openai.NotFoundError, lambda: ask(model="absent", messages=MESSAGES))
    refused(openai.BadRequestError, lambda: ask(model="builtin", messages="not a list"))
    refused(openai.AuthenticationError, lambda: client(api_key="wrong").models.list())
    refused(openai.APIConnectionError, lambda: client(base_url=DEAD_URL).models.list())

    try:
        for _ in ask(model="breaking", messages=MESSAGES, stream=True):
            pass
        raise AssertionError("a broken stream ended normally")
    except (openai.APIError, openai.APIConnectionError) as error:
        kept("a broken stream raises", True)
        print("   ", type(error).__name__)
    except Exception as error:  # the transport's own error, which the SDK passes on
        kept("a broken stream raises", "httpx" in type(error).__module__ or "httpcore" in type(error).__module__)


main()
