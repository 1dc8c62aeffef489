# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""`examples/serve.py` as `docs/serving.md` says: asked by OpenAI's client, by that of Hugging Face, and plainly."""

import contextlib
import io
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from chats import CHATS, ROOT, program, snippets
from huggingface_hub import InferenceClient
from transformers import pipeline

from hf_lstm import LSTMConfig, LSTMForSequenceClassification, LSTMForTokenClassification, LSTMTokenizer


@pytest.fixture(autouse=True)
def online(monkeypatch):
    """The client of Hugging Face speaks to no address at all while it is told to be offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@contextlib.contextmanager
def served(folder: Path):
    """The port of a server that was started as the page says, without a cache."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    (install, command), *_ = (code.splitlines() for code in snippets("Serving", "bash", "serving"))
    assert install == "pip install '.[serve]'"
    command = command.replace("examples/serve.py", str(ROOT / "examples" / "serve.py")).replace("8000", str(port))
    command, options = program(command, folder)
    options["env"]["PYTHONPATH"] = str(ROOT)
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


def ask(port: int, path: str, body: str | bytes | None = None) -> tuple[int, dict]:
    """Status and JSON of an answer, without a client, nor a type of what is sent."""
    body = body.encode() if isinstance(body, str) else body
    try:
        with urllib.request.urlopen(f"http://localhost:{port}{path}", body) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def printed(code: str, port: int) -> tuple[str, dict]:
    """What a piece of the page prints and defines."""
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        exec(compile(code.replace("8000", str(port)), "docs/serving.md", "exec"), names)
    return out.getvalue(), names


def test_chat(folder, chat_model, record):
    with served(folder) as port:
        answers(port, *chat_model, record)
        at_once(port)
        refusals(port)
        leaving(port)


def answers(port, model, tokenizer, record):
    text, names = printed(snippets("A language model", "python", "serving")[0], port)
    assert text == "it is white\nit is white"  # at once, and word by word
    record("openai transformers", text)
    assert names["answer"].choices[0].finish_reason == "stop"

    client = names["client"]
    assert [model.id for model in client.models.list()] == ["my_model"]
    assert client.models.retrieve("my_model").owned_by == "hf_lstm"
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
        assert "".join(parts) == expected
    stopped = client.chat.completions.create(**options, stop=["yel"])
    assert stopped.choices[0].message.content == "it is "
    others = InferenceClient(f"http://localhost:{port}").chat_completion(chat[:1], max_tokens=12, temperature=0)
    assert others.choices[0].message.content == expected

    # A prompt without a chat is continued.
    prompt = tokenizer("<|user|>what colour is", return_tensors="pt")
    expected = model.generate(**prompt, max_new_tokens=3, do_sample=False)[0, -3:]
    options = {"model": "my_model", "max_tokens": 3, "temperature": 0}
    completed = client.completions.create(prompt="<|user|>what colour is", **options)
    assert completed.choices[0].text == tokenizer.decode(expected, skip_special_tokens=True)


def at_once(port):
    """Sampling is repeatable by its seed, whoever asks at the same time."""
    client = openai.OpenAI(base_url=f"http://localhost:{port}/v1", api_key="none")

    def write(seed):
        options = {"model": "my_model", "max_tokens": 30, "temperature": 5.0, "extra_body": {"top_k": 0}}
        return client.completions.create(prompt="the", seed=seed, **options).choices[0].text

    alone = [write(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(write, range(8))) == alone
    assert len(set(alone)) > 1


def refusals(port):
    """All of tests/test_serving.py, here what HTTP and the clients have a part in."""
    client = openai.OpenAI(base_url=f"http://localhost:{port}/v1", api_key="none")
    with pytest.raises(openai.NotFoundError, match="here is only 'my_model'"):
        client.completions.create(prompt="a", model="another")
    with pytest.raises(openai.BadRequestError, match="`max_tokens` is -1"):
        client.completions.create(prompt="a", model="my_model", max_tokens=-1)
    for body, message in {
        "": "The body is no JSON",
        "{": "The body is no JSON",
        b"\xff": "The body is no JSON",
        "[" * 100_000: "The body is no JSON",
        "[]": "The body is []",
        "{}": "There is no `prompt`",
        '{"prompt": ""}': "has no tokens",
        '{"prompt": "a\\ud800"}': "lone surrogate",
        '{"prompt": "a", "\\ud800": 1}': "not known here",
        '{"prompt": "a", "max_tokens": "x"}': "`max_tokens` is 'x'",
        '{"prompt": "a", "max_tokens": 0, "stream": true}': "`max_tokens` is 0",
        '{"prompt": "a", "temperature": NaN}': "`temperature` is nan",
    }.items():
        status, answer = ask(port, "/v1/completions", body)
        assert status == 400 and message in answer["error"]["message"], (body, answer)
    assert ask(port, "/", '{"inputs": "a"}')[1]["error"]["message"].endswith("to /v1/chat/completions.")
    assert ask(port, "/v1/nothing")[0] == 404 and ask(port, "/v1/completions")[0] == 405
    assert ask(port, "/v1/models")[1]["data"][0]["id"] == "my_model"


def leaving(port):
    """Who leaves a stream does not hold up others."""
    body = {"prompt": "the", "max_tokens": 4096, "temperature": 50.0, "top_k": 0, "stream": True}
    for _ in range(4):
        request = urllib.request.Request(f"http://localhost:{port}/v1/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request) as response:
            assert response.readline().startswith(b"data: {")
    began = time.monotonic()
    assert ask(port, "/v1/completions", '{"prompt": "the", "max_tokens": 1}')[0] == 200
    assert time.monotonic() - began < 5


def test_tagger(tmp_path):
    texts, names = ["Ada Lovelace met Bob", "Bob was there"], ["O", "B-PER", "I-PER"]
    tokenizer = LSTMTokenizer.train_from_iterator(texts, "word", show_progress=False)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    config = LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0, initializer_range=1.0, **labels)
    for part in (LSTMForTokenClassification(config), tokenizer):
        part.save_pretrained(tmp_path / "my_model")
    local = pipeline("token-classification", str(tmp_path / "my_model"), aggregation_strategy="simple")
    with served(tmp_path) as port:
        text, _ = printed(snippets("A tagger or a classifier", "python", "serving")[0], port)
        expected = [(e["entity_group"], e["word"], e["start"], e["end"]) for e in local(texts[0])]
        assert text.splitlines() == [" ".join(map(str, entity)) for entity in expected]
        (curl,) = snippets("A tagger or a classifier", "bash", "serving")
        status, answer = ask(port, "/", curl.split("'")[1])
        assert status == 200 and [len(entities) for entities in answer] == [
            len(local(text, aggregation_strategy="none")) for text in texts
        ]
        status, answer = ask(port, "/v1/chat/completions", '{"messages": []}')
        assert status == 400 and "is for token-classification" in answer["error"]["message"]


def test_classifier(tmp_path):
    tokenizer = LSTMTokenizer.train_from_iterator(["good film", "bad film"], "word", show_progress=False)
    config = LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, pad_token_id=0, initializer_range=1.0)
    for part in (LSTMForSequenceClassification(config), tokenizer):
        part.save_pretrained(tmp_path / "my_model")
    expected = pipeline("text-classification", str(tmp_path / "my_model"))("good film", top_k=None)
    with served(tmp_path) as port:
        found = InferenceClient(f"http://localhost:{port}").text_classification("good film")
        assert [(each.label, each.score) for each in found] == [(e["label"], e["score"]) for e in expected]
