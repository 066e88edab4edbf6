"""Google's SDK for Gemini, through `postern proxy`. Prints one line per promise kept."""

import os

from google import genai
from google.genai import errors, types

BASE_URL, TOKEN = os.environ["BASE_URL"].removesuffix("/v1"), os.environ["TOKEN"]


def client(token=TOKEN, shape=None):
    # The shape of streams is the default one, and the one that pads most where a client asks for it.
    headers = {"postern-stream-shape": shape} if shape else None
    return genai.Client(api_key=token, http_options=types.HttpOptions(base_url=BASE_URL, timeout=20_000, headers=headers))


def kept(promise, condition):
    assert condition, promise
    print("kept:", promise)


def refused(promise, code, call):
    try:
        call()
    except errors.APIError as error:
        kept(promise, error.code == code and error.message)
        return
    raise AssertionError(promise)


WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather in a city",
            parameters=types.Schema(
                type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]
            ),
        )
    ]
)


def converse(models, model):
    """One question, as a whole and as a stream."""
    whole = models.generate_content(model=model, contents="Say hello")
    kept(f"{model}: whole", whole.text == "Hello!")
    kept(f"{model}: finish", whole.candidates[0].finish_reason == types.FinishReason.STOP)
    kept(f"{model}: usage", whole.usage_metadata.total_token_count == 5)
    pieces = list(models.generate_content_stream(model=model, contents="Say hello"))
    kept(f"{model}: stream", "".join(piece.text or "" for piece in pieces) == "Hello!")
    kept(f"{model}: usage of a stream", pieces[-1].usage_metadata.total_token_count == 5)


def main():
    good = client()
    for model in ["fake", "gemini", "bedrock"]:
        converse(good.models, model)

    constant = client(shape="constant")
    pieces = constant.models.generate_content_stream(model="gemini", contents="Say hello")
    kept("a stream in constant frames", "".join(piece.text or "" for piece in pieces) == "Hello!")

    config = types.GenerateContentConfig(tools=[WEATHER])
    asked = types.Content(role="user", parts=[types.Part.from_text(text="Weather in Bonn?")])
    answer = good.models.generate_content(model="gemini", contents=[asked], config=config)
    call = answer.function_calls[0]
    kept("a tool is called", call.name == "weather" and call.args == {"city": "Bonn"})
    said = answer.candidates[0].content
    kept("a seal arrives", said.parts[0].thought_signature == b"signature")
    result = types.Part.from_function_response(name="weather", response={"result": "sun"})
    contents = [asked, said, types.Content(role="user", parts=[result])]
    final = good.models.generate_content(model="gemini", contents=contents, config=config)
    kept("a result is answered", final.text == "Hello!")

    for model in ["gemini", "fake"]:
        kept(f"{model}: count", good.models.count_tokens(model=model, contents="Say hello").total_tokens > 0)
    many = good.models.generate_content(model="fake", contents=[asked], config=config)
    kept("parallel tools", [call.args["city"] for call in many.function_calls] == ["Bonn", "Kiel"])
    image = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n", mime_type="image/png")
    kept("image", good.models.generate_content(model="fake", contents=[image, "What is this?"]).text == "Hello!")
    schema = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
    structured = types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
    answer = good.models.generate_content(model="fake", contents="Where?", config=structured)
    kept("structured output", answer.parsed == {"city": "Bonn"})
    pieces = good.models.generate_content_stream(model="fake", contents="Never end")
    kept("cancelled after the first text", next(iter(pieces)).text == "Hel")
    pieces.close()
    kept("models", "models/gemini" in [model.name for model in good.models.list()])
    kept("one model", good.models.get(model="gemini").name == "models/gemini")
    refused("an unknown model", 404, lambda: good.models.generate_content(model="absent", contents="x"))
    stranger = client("wrong")
    refused("a wrong key", 401, lambda: stranger.models.generate_content(model="gemini", contents="x"))


main()
