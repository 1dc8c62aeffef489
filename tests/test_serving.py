# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the server answers, without HTTP: see tests/clients/test_serve.py for `examples/serve.py`."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from families import GRU, LSTM
from transformers import pipeline

from hf_lstm import LSTMTokenizer
from hf_lstm.serving.answers import Server
from hf_lstm.serving.requests import BadRequest
from hf_lstm.serving.streaming import COMPUTING, Generation, TextOfTokens


TEXT = ["the list of words .", "Ada Lovelace met Bob in London .", "été à Zürich , naïve 東京"]
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ m.role }} : {{ m.content }} {% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"
)


def tokenizer_of(kind: str = "bpe", template: str | None = TEMPLATE) -> LSTMTokenizer:
    options = {"vocab_size": 280} if kind == "bpe" else {}
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, kind, show_progress=False, **options)
    tokenizer.chat_template = template
    return tokenizer


def language_model(family=LSTM, kind: str = "bpe", template: str | None = TEMPLATE, **options) -> Server:
    """Random weights that write all kinds of bytes."""
    tokenizer = tokenizer_of(kind, template)
    model = family.build("ForCausalLM", vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    return Server("mine", model, tokenizer, **options)


def classifier(head: str, **options) -> Server:
    tokenizer = tokenizer_of("word")
    labels = {"id2label": dict(enumerate(["O", "B-PER", "I-PER"])), "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}
    return Server("mine", LSTM.build(head, vocab_size=len(tokenizer), pad_token_id=0, **labels, **options), tokenizer)


@pytest.fixture(scope="module")
def writer() -> Server:
    return language_model()


@pytest.fixture(scope="module")
def tagger() -> Server:
    return classifier("ForTokenClassification")


def joined(pieces: list[dict]) -> str:
    choices = [choice for piece in pieces for choice in piece["choices"]]
    return "".join(choice["text"] if "text" in choice else choice["delta"]["content"] for choice in choices)


@pytest.mark.parametrize("kind", ["bpe", "word"])
@pytest.mark.parametrize("family", [LSTM, GRU], ids=["lstm", "gru"])
def test_a_completion_is_what_generate_writes(family, kind):
    """At once and in pieces, none of which ends within a character; prompt and answer are the text of all tokens."""
    server = language_model(family, kind)
    tokenizer, body = server.tokenizer, {"prompt": "the list of", "max_tokens": 30, "temperature": 0}
    prompt = tokenizer(body["prompt"], return_tensors="pt").input_ids
    ids = server.model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=30)[0]
    answer = server.complete(body)
    (choice,) = answer["choices"]
    read = tokenizer.decode(prompt[0], skip_special_tokens=True)
    assert read + choice["text"] == tokenizer.decode(ids, skip_special_tokens=True)
    assert kind == "bpe" or choice["text"][:1] in ("", " ")
    written = len(ids) - prompt.shape[1]
    assert answer["usage"] == {
        "prompt_tokens": prompt.shape[1],
        "completion_tokens": written,
        "total_tokens": prompt.shape[1] + written,
    }
    assert choice["finish_reason"] == ("stop" if ids[-1] == tokenizer.eos_token_id else "length")
    *pieces, usage = server.complete(body | {"stream": True, "stream_options": {"include_usage": True}})
    assert joined(pieces) == choice["text"] and usage["usage"] == answer["usage"] and usage["choices"] == []
    assert [piece["choices"][0]["finish_reason"] for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    several = server.complete(body | {"prompt": ["the list of", "Ada"]})["choices"]
    assert [choice["index"] for choice in several] == [0, 1] and several[0]["text"] == choice["text"]


def test_a_chat_goes_through_the_template(writer):
    turns = [{"role": "user", "content": [{"type": "text", "text": "the"}, {"type": "text", "text": " list"}]}]
    answer = writer.chat({"messages": turns, "max_tokens": 9, "temperature": 0})
    whole = writer.complete({"prompt": "user : the list assistant :", "max_tokens": 9, "temperature": 0})
    message = answer["choices"][0]["message"]
    assert message == {"role": "assistant", "content": whole["choices"][0]["text"]}
    assert answer["usage"] == whole["usage"]
    pieces = list(writer.chat({"messages": turns, "max_completion_tokens": 9, "temperature": 0, "stream": True}))
    assert joined(pieces) == message["content"] and {piece["object"] for piece in pieces} == {"chat.completion.chunk"}


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_text_ends_before_a_stop(kind):
    """Wherever tokens are cut, with any tokenizer: nothing of the stop is sent before it is whole."""
    tokenizer = tokenizer_of(kind)
    for text in TEXT:
        ids = tokenizer(text)["input_ids"]
        whole = tokenizer.decode(ids, skip_special_tokens=True)
        for stop in (whole[5:9], whole[-1], "nowhere", whole[5:8] + "X"):
            found = TextOfTokens(tokenizer, [], [stop])
            sent = ""
            for token in ids:
                sent += found.add([token])
                assert whole.split(stop)[0].startswith(sent)
                if found.stopped:
                    break
            sent += found.add([], last=True)
            assert sent == whole.split(stop)[0] and found.stopped == (stop in whole)


def test_a_stop_ends_the_writing(writer):
    body = {"prompt": "the list", "max_tokens": 60, "temperature": 0}
    whole = writer.complete(body)["choices"][0]["text"]
    stop = whole[12:15]
    answer = writer.complete(body | {"stop": stop})
    assert answer["choices"][0] | {"index": 0} == {
        "index": 0,
        "text": whole.split(stop)[0],
        "finish_reason": "stop",
        "logprobs": None,
    }


def test_many_at_once_are_answered_as_if_alone(writer):
    """Each has a state and a seed of its own."""
    bodies = [
        {"prompt": prompt, "max_tokens": 25, "temperature": 1.3, "seed": seed, "stream": stream}
        for prompt in ("the list", "Ada met")
        for seed in (1, 2, 3)
        for stream in (False, True)
    ]

    def text(body):
        answer = writer.complete(body)
        return joined(list(answer)) if body["stream"] else answer["choices"][0]["text"]

    alone = [text(body) for body in bodies]
    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(text, bodies)) == alone
    assert alone[0] == alone[1] != alone[2]
    unseeded = {"prompt": "the list", "max_tokens": 25, "temperature": 1.3}
    assert text(unseeded | {"stream": False}) != text(unseeded | {"stream": False})


def test_nobody_waits_for_who_does_not_read(writer):
    """A stream that is not read holds up no other; one that is left stops the writing."""
    waiting = writer.complete({"prompt": "the", "max_tokens": 50, "stream": True})
    next(waiting)
    assert writer.complete({"prompt": "the", "max_tokens": 2})["choices"][0]["text"]
    list(waiting)
    writer.model.generation_config.eos_token_id, before = None, writer.model.generation_config.eos_token_id
    try:
        left = writer.complete({"prompt": "the", "max_tokens": 4000, "stream": True})
        next(left)
        began = time.perf_counter()
        left.close()
        with COMPUTING:
            assert time.perf_counter() - began < 1
    finally:
        writer.model.generation_config.eos_token_id = before


def test_what_fails_while_it_is_written_is_raised(writer):
    with pytest.raises(RuntimeError, match="broken"):
        list(Generation(_Broken(), input_ids=None))


class _Broken:
    def generate(self, streamer, **options):
        streamer.put(torch.tensor([1]))
        raise RuntimeError("broken")


USER = [{"role": "user", "content": "the list"}]


@pytest.mark.parametrize(
    "path, body, message",
    [
        ("complete", ["the"], r"The body is \['the'\]"),
        ("complete", {}, "There is no `prompt`"),
        ("complete", {"prompt": None}, "There is no `prompt`"),
        ("complete", {"prompt": ""}, "`prompt` is '', which has no tokens"),
        ("complete", {"prompt": []}, "`prompt` is an empty list"),
        ("complete", {"prompt": ["the", ""]}, "`prompt` is '', which has no tokens"),
        ("complete", {"prompt": 3}, "`prompt` is 3"),
        ("complete", {"prompt": [3, 4]}, "`prompt` is 3"),
        ("complete", {"prompt": "the \ud83d"}, r"`prompt` has half of a character .*'\\ud83d', at position 4"),
        ("complete", {"prompt": "the", "\udc00": 1}, r"`\\udc00` is 1, which is not known here"),
        ("complete", {"prompt": "the", "max_tokens": -1}, "`max_tokens` is -1. Give a whole number from 1 to 4096"),
        ("complete", {"prompt": "the", "max_tokens": 0}, "`max_tokens` is 0"),
        ("complete", {"prompt": "the", "max_tokens": "many"}, "`max_tokens` is 'many'"),
        ("complete", {"prompt": "the", "max_tokens": 2.5}, r"`max_tokens` is 2\.5"),
        ("complete", {"prompt": "the", "max_tokens": True}, "`max_tokens` is True"),
        ("complete", {"prompt": "the", "max_tokens": 10**9}, "`max_tokens` is 1000000000"),
        ("complete", {"prompt": "the", "temperature": -1}, "`temperature` is -1"),
        ("complete", {"prompt": "the", "temperature": float("nan")}, "`temperature` is nan"),
        ("complete", {"prompt": "the", "top_p": 0}, "`top_p` is 0"),
        ("complete", {"prompt": "the", "top_k": "x"}, "`top_k` is 'x'"),
        ("complete", {"prompt": "the", "seed": -1}, "`seed` is -1"),
        ("complete", {"prompt": "the", "stop": [""]}, "`stop` has an empty text"),
        ("complete", {"prompt": "the", "stop": 5}, "`stop` is 5"),
        ("complete", {"prompt": "the", "stream": "yes"}, "`stream` is 'yes'"),
        ("complete", {"prompt": "the", "n": 2}, "`n` is 2, which is not known here"),
        ("complete", {"prompt": "the", "logprobs": 5}, "`logprobs` is 5"),
        ("complete", {"prompt": "the", "stream_options": {"x": 1}}, "`x` of `stream_options`"),
        ("complete", {"prompt": "the", "model": "other"}, "`model` is 'other', but here is only 'mine'"),
        ("chat", {}, "`messages` is None"),
        ("chat", {"messages": []}, r"`messages` is \[\]"),
        ("chat", {"messages": ["hello"]}, r"`messages\[0\]` is 'hello'"),
        ("chat", {"messages": [{"role": "user"}]}, r"`messages\[0\].content` is None"),
        ("chat", {"messages": [{"content": "a"}]}, r"`messages\[0\].role` is None"),
        ("chat", {"messages": [{"role": "user", "content": "\udc00"}]}, r"`messages\[0\].content` has half"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "has the type 'image_url'"),
        ("chat", {"messages": [{"role": "system", "content": "a"}]}, "is not a chat .*no system turns"),
        ("chat", {"messages": USER, "tools": [{}]}, "`tools` is"),
        ("infer", {"inputs": "the"}, "is for text-generation: POST .* to /v1/completions"),
    ],
)
def test_a_wrong_request_says_why(writer, path, body, message):
    with pytest.raises(BadRequest) as caught:
        getattr(writer, path)(json.loads(json.dumps(body)))
    sent = json.dumps(caught.value.body, ensure_ascii=False).encode()
    assert re.search(message, json.loads(sent)["error"]["message"])
    assert caught.value.status == (404 if "other" in message else 400)


def test_what_has_no_effect_is_no_error(writer):
    body = {"prompt": "the", "max_tokens": 2, "n": 1, "user": "me", "stop": None, "logprobs": None, "model": "mine"}
    assert writer.complete(body | {"model": "dummy"})["model"] == "mine"  # no name, from huggingface_hub
    assert writer.complete(body | {"response_format": {"type": "text"}, "presence_penalty": 0.0, "tools": []})


def test_a_chat_needs_a_template():
    with pytest.raises(BadRequest, match=r"no chat template.*tokenizer\.chat_template = .*/v1/completions"):
        language_model(template=None).chat({"messages": USER})


@pytest.mark.parametrize("body", [{"prompt": ""}, {"prompt": "   "}])
def test_a_prompt_without_words_is_refused(body):
    with pytest.raises(BadRequest, match="has no tokens"):
        language_model(kind="word").complete(body)


def test_a_tagger_answers_as_its_pipeline(tagger):
    expected = pipeline("token-classification", model=tagger.model, tokenizer=tagger.tokenizer)
    for strategy in ("none", "simple", "first", "average", "max"):
        parameters = {"aggregation_strategy": strategy, "ignore_labels": []}
        body = {"inputs": TEXT[:2], "parameters": parameters}
        found = tagger.infer(body)
        for text, entities in zip(TEXT[:2], found, strict=True):
            alone = expected(text, **parameters)
            assert len(entities) == len(alone) > 0
            for entity, other in zip(entities, alone, strict=True):
                assert entity == {**other, "score": pytest.approx(float(other["score"]), abs=1e-6)}
            one = tagger.infer(body | {"inputs": text})
            assert [e["word"] for e in one] == [e["word"] for e in entities]
        assert len(tagger.infer(body | {"inputs": TEXT[:1]})) == 1
        assert tagger.infer(body | {"inputs": ["", TEXT[0], " "]}) == [
            [],
            tagger.infer(body | {"inputs": TEXT[0]}),
            [],
        ]
        json.dumps(found)


def test_a_classifier_answers_as_its_pipeline():
    server = classifier("ForSequenceClassification")
    expected = pipeline("text-classification", model=server.model, tokenizer=server.tokenizer)
    ((*classes,),) = server.infer({"inputs": TEXT[0]})
    assert classes == expected(TEXT[0], top_k=None) and sum(each["score"] for each in classes) == pytest.approx(1)
    several = server.infer({"inputs": TEXT[:2], "parameters": {"top_k": 1, "function_to_apply": "none"}})
    assert [each[0]["label"] for each in several] == [expected(text)[0]["label"] for text in TEXT[:2]]
    json.dumps(several)
    assert server.infer({"inputs": ["", TEXT[0]]})[0] == expected("", top_k=None)


@pytest.mark.parametrize(
    "body, message",
    [
        ({}, "There is no `inputs`"),
        ({"inputs": {"text": "a"}}, "`inputs` is"),
        ({"inputs": "\ud800"}, "`inputs` has half"),
        ({"inputs": "the", "parameters": []}, r"`parameters` is \[\]"),
        ({"inputs": "the", "parameters": {"aggregation_strategy": "best"}}, "`aggregation_strategy` is 'best'"),
        ({"inputs": "the", "parameters": {"aggregation_strategy": []}}, r"`aggregation_strategy` is \[\]"),
        ({"inputs": "the", "parameters": {"stride": 3}}, "`stride` of `parameters` is 3"),
        ({"inputs": "the", "parameters": {"ignore_labels": 3}}, "`ignore_labels` is 3"),
    ],
)
def test_a_wrong_input_says_why(tagger, body, message):
    with pytest.raises(BadRequest, match=message):
        tagger.infer(body)
    with pytest.raises(BadRequest, match=r"is for token-classification: POST .* to /"):
        tagger.complete({"prompt": "the"})


@pytest.mark.parametrize("head", ["ForCausalLM", "ForTokenClassification", "ForSequenceClassification"])
def test_a_saved_model_is_served_by_its_head(head, tmp_path):
    server = language_model() if head == "ForCausalLM" else classifier(head)
    for part in (server.model, server.tokenizer):
        part.save_pretrained(tmp_path / "mine")
    loaded = Server.load(str(tmp_path / "mine"), max_tokens=5)
    assert (loaded.task, loaded.max_tokens) == (server.task, 5) and not loaded.model.training
    (model,) = loaded.models()["data"]
    assert model == loaded.described(loaded.name) and model["id"] == str(tmp_path / "mine")
    with pytest.raises(BadRequest, match="but here is only"):
        loaded.described("other")


def test_a_backbone_is_not_served(tmp_path):
    LSTM.build("Model").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"a model of LSTMModel\. Serve one with a head of ForCausalLM"):
        Server.load(str(tmp_path))


def test_whole_numbers_are_numbers():
    body = {"prompt": "a", "temperature": 2, "repetition_penalty": 2, "max_tokens": 2}
    assert language_model().complete(body)["usage"]["completion_tokens"] == 2
