"""httpx over HTTP/2, straight to an enclave whose operator also allows X25519."""

import json
import os

import httpx

URL, KEY = os.environ["ENCLAVE_URL"], os.environ["KEY"]
BODY = {"model": "builtin", "messages": [{"role": "user", "content": "Say hello"}]}


def main():
    with httpx.Client(http2=True, http1=False, verify=False, headers={"authorization": f"Bearer {KEY}"}) as client:
        answer = client.post(f"{URL}/v1/chat/completions", json=BODY)
        assert answer.http_version == "HTTP/2" and answer.status_code == 200, (answer.http_version, answer.text)
        whole = answer.json()["choices"][0]["message"]["content"]
        text, last = "", ""
        with client.stream("POST", f"{URL}/v1/chat/completions", json={**BODY, "stream": True}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    last = line[6:]
                    if last != "[DONE]":
                        text += json.loads(last)["choices"][0]["delta"].get("content") or ""
        assert last == "[DONE]" and text == whole, (last, text, whole)
        assert client.get(f"{URL}/v1/models/absent").status_code == 404
        assert client.post(f"{URL}/v1/chat/completions", content=b"{").status_code == 400
        print("kept: HTTP/2")


main()
