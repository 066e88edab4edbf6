"""The official OpenAI SDK for Python against a whole machine, through `postern proxy`. Prints one line per promise kept."""

import os

import openai

BASE_URL, TOKEN = os.environ["BASE_URL"], os.environ["TOKEN"]
MODEL = "postern-builtin"


def kept(promise, condition):
    assert condition, promise
    print("kept:", promise)


def main():
    # An emulated processor takes its time.
    client = openai.OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0, timeout=180)
    ask = client.chat.completions.create
    hello = [{"role": "user", "content": "Say hello"}]
    whole = ask(model=MODEL, messages=hello)
    kept("an answer", whole.choices[0].message.content)
    pieces = list(ask(model=MODEL, messages=hello, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    kept("the same answer in pieces", len(pieces) > 2 and text == whole.choices[0].message.content)
    # More than any socket buffer on the way holds, in both directions.
    long = [{"role": "user", "content": "Tell me everything. " * 20_000}]
    pieces = list(
        ask(model=MODEL, messages=long, stream=True, max_tokens=4096, stream_options={"include_usage": True})
    )
    kept("a long prompt", pieces[-1].usage.prompt_tokens > 10_000)
    kept("a long stream to its end", any(piece.choices and piece.choices[0].finish_reason for piece in pieces))
    try:
        openai.OpenAI(base_url=BASE_URL, api_key="wrong", max_retries=0, timeout=60).models.list()
        raise AssertionError("a wrong token was taken")
    except openai.AuthenticationError:
        kept("a wrong token is refused", True)


main()
