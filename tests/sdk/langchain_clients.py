"""LangChain's classes for OpenAI and Anthropic, through `postern proxy`. Prints one line per promise kept."""

import os

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

BASE_URL, TOKEN = os.environ["BASE_URL"], os.environ["TOKEN"]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@tool
def weather(city: str) -> str:
    """The weather"""
    return f"rain in {city}"


class Place(BaseModel):
    """A place"""

    city: str


def kept(promise, condition):
    assert condition, promise
    print("kept:", promise)


def refused(kind, call):
    try:
        call()
    except kind:  # or LangChain's own kind of it
        kept(kind.__name__, True)
        return
    raise AssertionError(f"no {kind.__name__}")


def openai_class(model, **changes):
    settings = {"base_url": BASE_URL, "api_key": TOKEN, "max_retries": 0, "timeout": 20, **changes}
    return ChatOpenAI(model=model, **settings)


def anthropic_class(model, **changes):
    settings = {"base_url": BASE_URL.removesuffix("/v1"), "api_key": TOKEN, "max_retries": 0, "timeout": 20, **changes}
    return ChatAnthropic(model=model, max_tokens=64, **settings)


def text(message):
    """Responses and Anthropic give a list of blocks, chat a string."""
    return str(message.text)


def chat(name, model):
    whole = model.invoke("Say hello")
    kept(f"{name}: chat", text(whole) == "Hello!")
    kept(f"{name}: usage", (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (3, 2))
    pieces = list(model.stream("Say hello"))
    kept(f"{name}: stream", len(pieces) > 2 and "".join(text(piece) for piece in pieces) == "Hello!")
    image = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
    shown = model.invoke([HumanMessage(content=[{"type": "text", "text": "What is this?"}, image])])
    kept(f"{name}: image", text(shown) == "Hello!")


def tools(name, model):
    bound = model.bind_tools([weather])
    asked = bound.invoke("What is the weather?")
    wanted = [("weather", {"city": "Bonn"}), ("weather", {"city": "Kiel"})]
    kept(f"{name}: parallel tools", [(call["name"], call["args"]) for call in asked.tool_calls] == wanted)
    gathered = None
    for piece in bound.stream("What is the weather?"):
        gathered = piece if gathered is None else gathered + piece
    kept(f"{name}: streamed tools", [(call["name"], call["args"]) for call in gathered.tool_calls] == wanted)
    results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
    kept(f"{name}: tool results", text(bound.invoke([HumanMessage("What is the weather?"), asked, *results])) == "Hello!")
    structured = model.with_structured_output(Place, method="json_schema").invoke("Where?")
    kept(f"{name}: structured output", structured == Place(city="Bonn"))


def main():
    models = {
        "chat, same dialect": openai_class("fake"),
        "chat, translated": openai_class("claude"),
        "messages, same dialect": anthropic_class("claude"),
        "messages, translated": anthropic_class("fake"),
    }
    for name, model in models.items():
        chat(name, model)
        tools(name, model)
    chat("responses", openai_class("fake", use_responses_api=True))
    legacy = OpenAI(model="fake", base_url=BASE_URL, api_key=TOKEN, max_retries=0)
    kept("completions", legacy.invoke("Say hello") == "Hello!")
    kept("streamed completions", "".join(legacy.stream("Say hello")) == "Hello!")
    vectors = OpenAIEmbeddings(model="fake", base_url=BASE_URL, api_key=TOKEN, check_embedding_ctx_length=False)
    kept("embeddings", len(vectors.embed_documents(["a", "b"])) == 2)

    refused(openai.NotFoundError, lambda: openai_class("absent").invoke("x"))
    refused(openai.AuthenticationError, lambda: openai_class("fake", api_key="wrong").invoke("x"))
    refused(openai.APITimeoutError, lambda: openai_class("fake", timeout=1).invoke("Never answer"))
    refused(anthropic.NotFoundError, lambda: anthropic_class("absent").invoke("x"))
    refused(anthropic.AuthenticationError, lambda: anthropic_class("claude", api_key="wrong").invoke("x"))
    refused(anthropic.APITimeoutError, lambda: anthropic_class("claude", timeout=1).invoke("Never answer"))


main()
