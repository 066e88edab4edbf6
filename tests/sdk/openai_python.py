"""The official OpenAI SDK for Python, through `postern proxy`. Prints one line per promise kept."""

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
    refused(openai.BadRequestError, lambda: good.responses.create(model="fake", input="x", previous_response_id="r"))
    refused(openai.NotFoundError, lambda: good.responses.retrieve("resp_1"))


def vendor(good, model):
    """Chat completions on a provider that has an API of its own."""
    whole = good.chat.completions.create(model=model, messages=MESSAGES)
    kept(f"{model}: whole", whole.choices[0].message.content == "Hello!" and whole.usage.total_tokens == 5)
    pieces = list(good.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    kept(f"{model}: stream", text == "Hello!" and pieces[-1].choices[0].finish_reason == "stop")


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

    responses(good)
    for model in ["gemini", "bedrock", "failing-over"]:
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
