# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A chat over HTTP: `examples/serve.py`, asked by OpenAI's own client."""

import contextlib
import io
import socket
import subprocess
import time
import urllib.request

import openai
import pytest
from chats import CHATS, ROOT, program, snippets


@pytest.fixture
def port(folder):
    """The port of a server that was started as the page says."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (command,) = snippets("Chat over HTTP", "bash")
    command = command.replace("examples/serve.py", str(ROOT / "examples" / "serve.py")).replace("8000", str(port))
    command, options = program(command, folder)
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, **options) as server,
    ):
        try:
            wait_for(f"http://localhost:{port}/health", server, folder)
            yield port
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen, folder, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url) as response:
            if response.status == 200:
                return
        assert server.poll() is None and time.monotonic() < end, (folder / "server.log").read_text()
        time.sleep(0.2)


def test_chat(port, chat_model, record):
    model, tokenizer = chat_model
    code = snippets("Chat over HTTP", "python")[0].replace("8000", str(port))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = {}
        exec(compile(code, "docs/clients.md", "exec"), names)
    assert printed.getvalue() == "it is white\nit is white"  # at once, and word by word
    record("openai transformers", printed.getvalue())
    assert names["answer"].choices[0].finish_reason == "stop"

    client = names["client"]
    for chat in CHATS:
        prompt = tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_tensors="pt")
        ids = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        expected = tokenizer.decode(ids, skip_special_tokens=True)
        options = {"model": "my_model", "messages": chat[:1], "max_tokens": 12, "temperature": 0}
        answer = client.chat.completions.create(**options)
        assert answer.choices[0].message.content == expected
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (prompt["input_ids"].shape[1], len(ids))
        parts = [
            chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**options, stream=True)
        ]
        assert "".join(parts) == expected and sum(map(bool, parts)) > 1
    stopped = client.chat.completions.create(**options, stop=["is"])
    assert stopped.choices[0].message.content == "it is"

    # Sampling is repeatable by its seed, and a prompt without a chat is continued.
    warm = options | {
        "temperature": 5.0,
        "extra_body": {"generation_config": '{"do_sample": true, "temperature": 5.0}'},
    }
    first, again, other = (
        client.chat.completions.create(**warm, seed=seed).choices[0].message.content for seed in (1, 1, 2)
    )
    assert first == again != other
    prompt = tokenizer("<|user|>what colour is", return_tensors="pt")
    expected = model.generate(**prompt, max_new_tokens=3, do_sample=False)[0, -3:]
    options = {"model": "my_model", "max_tokens": 3, "temperature": 0}
    completed = client.completions.create(prompt="<|user|>what colour is", **options)
    assert completed.choices[0].text == tokenizer.decode(expected, skip_special_tokens=True)

    # A server of one model refuses to be asked for another.
    with pytest.raises(openai.BadRequestError):
        client.completions.create(prompt="a", **(options | {"model": "another"}))
