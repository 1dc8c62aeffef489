# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Weights of others: the models made of them compute what the equations say, and no file gets to run a program."""

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from families import FAMILIES, LSTM, RNN, assert_close, each_direction, each_family, random_ids, states
from processes import ROOT, environment
from reference import STEP
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_lstm.interop.converters import from_torch, main, read_vocabulary, word_tokenizer


V, E = 31, 6
KINDS = {"lstm": 4, "gru": 3, "rnn": 1}


class Source:
    """A language model as bare tensors, and what it computes, by the equations."""

    def __init__(self, kind: str = "lstm", sizes=(10, 10, E), tied: bool = True):
        self.model_type, self.nonlinearity, self.sizes = kind, "tanh", sizes
        self.embedding = torch.randn(V, E)
        self.decoder = self.embedding if tied else torch.randn(V, sizes[-1])
        self.bias = torch.randn(V)
        self.layers = []
        for inputs, size in zip((E, *sizes), sizes, strict=False):
            shapes = {"weight_ih": (inputs,), "weight_hh": (size,), "bias_ih": (), "bias_hh": ()}
            rows = KINDS[kind] * size
            self.layers.append({name: torch.randn(rows, *shape) / 2 for name, shape in shapes.items()})

    def read(self, ids: list[int], states: list) -> torch.Tensor:
        """Logits after each token, (T, V); `states`, one a layer, go on."""
        rows = []
        for token in ids:
            x = self.embedding[token]
            for i, layer in enumerate(self.layers):
                self.hidden_size = self.sizes[i]
                states[i] = STEP[self.model_type](x, states[i], layer, self)
                x = states[i][0]
            rows.append(self.decoder @ x + self.bias)
        return torch.stack(rows)

    def fresh(self) -> list:
        return [(torch.zeros(size),) * (2 if self.model_type == "lstm" else 1) for size in self.sizes]


def one_module(source: Source) -> dict:
    """pytorch/examples, word_language_model."""
    tensors = {"encoder.weight": source.embedding}
    for i, layer in enumerate(source.layers):
        tensors |= {f"rnn.{name}_l{i}": tensor for name, tensor in layer.items()}
    return tensors | {"decoder.weight": source.decoder, "decoder.bias": source.bias}


def modules(source: Source, raw: str, other: str, dropped: str | None) -> dict:
    """A module a layer: where the recurrent weight is before its dropout, the other tensors, and it after that."""
    tensors = {"encoder.weight": source.embedding}
    for i, layer in enumerate(source.layers):
        for name, tensor in layer.items():
            tensors[(raw if name == "weight_hh" else other).format(i=i, name=name)] = tensor
        if dropped:
            tensors[dropped.format(i=i)] = nn.functional.dropout(layer["weight_hh"])
    return tensors | {"decoder.weight": source.decoder, "decoder.bias": source.bias}


def awd_lstm_lm(source: Source) -> dict:
    parts = "rnns.{i}.module.weight_hh_l0_raw", "rnns.{i}.module.{name}_l0"
    return modules(source, *parts, "rnns.{i}.module.weight_hh_l0")


def awd_lstm_lm_without_weight_dropout(source: Source) -> dict:
    return modules(source, "rnns.{i}.{name}_l0", "rnns.{i}.{name}_l0", None)


def of_fastai(tensors: dict, copy: str) -> dict:
    """A sequence of an encoder and a decoder, and a copy of the embedding."""
    parts = {name: "1" if name.startswith("decoder") else "0" for name in tensors}
    return {f"{parts[name]}.{name}": tensor for name, tensor in tensors.items()} | {copy: tensors["encoder.weight"]}


def fastai_2(source: Source) -> dict:
    tensors = modules(source, "rnns.{i}.weight_hh_l0_raw", "rnns.{i}.module.{name}_l0", None)
    return of_fastai(tensors, "0.encoder_dp.emb.weight")


def fastai_1(source: Source) -> dict:
    dropped = "rnns.{i}.module.weight_hh_l0"
    tensors = modules(source, "rnns.{i}.weight_hh_l0_raw", "rnns.{i}.module.{name}_l0", dropped)
    return {"opt": {"lr": 0.1}, "model": of_fastai(tensors, "0.encoder_dp.emb.weight")}


def fastai_before_1(source: Source) -> dict:
    """As `fwd_wt103.h5` of ULMFiT."""
    source.bias = torch.zeros(V)
    tensors = modules(source, "rnns.{i}.module.weight_hh_l0_raw", "rnns.{i}.module.{name}_l0", None)
    del tensors["decoder.bias"]
    return of_fastai(tensors, "0.encoder_with_dropout.embed.weight")


def in_parallel(source: Source) -> dict:
    return {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in one_module(source).items()}}


SINGLE, NUMBERED = (
    (one_module, in_parallel),
    (
        awd_lstm_lm,
        awd_lstm_lm_without_weight_dropout,
        fastai_2,
        fastai_1,
        fastai_before_1,
    ),
)
CASES = [
    *((layout, kind, (10, 10), tied) for layout in SINGLE for kind in KINDS for tied in (False,)),
    (one_module, "lstm", (E, E), True),
    *((layout, "lstm", (10, 10, E), True) for layout in NUMBERED),
    (awd_lstm_lm, "lstm", (10, 8, 5), False),
    (fastai_2, "lstm", (E,), True),
]


@pytest.mark.parametrize("as_file", [False, True], ids=["dict", "file"])
@pytest.mark.parametrize(("layout", "kind", "sizes", "tied"), CASES)
def test_logits_and_states_are_those_of_the_equations(layout, kind, sizes, tied, as_file, tmp_path):
    source = Source(kind, sizes, tied)
    weights = layout(source)
    if as_file:
        torch.save(weights, tmp_path / "weights.pt")
        weights = tmp_path / "weights.pt"
    model = from_torch(weights, **({"nonlinearity": "tanh"} if kind == "rnn" else {}))
    assert type(model).__name__ == f"{kind.upper()}ForCausalLM" and not model.training
    assert model.config.tie_word_embeddings is tied and model.config.embedding_size == E
    ids = random_ids()
    with torch.no_grad():
        first = model(ids[:, :3], use_cache=True)
        second = model(ids[:, 3:], cache=first.cache)
    for row, tokens in enumerate(ids.tolist()):
        state = source.fresh()
        logits = source.read(tokens, state)
        assert_close(torch.cat([first.logits, second.logits], dim=1)[row], logits)
        assert_close([each[row, 0] for each in states(second)], [part for layer in state for part in layer])
    assert model.config.hidden_sizes == (list(sizes) if len(set(sizes)) > 1 else None)


@each_direction
@pytest.mark.parametrize(
    ("family", "options"),
    [(LSTM, {"proj_size": 4}), *((family, options) for family in FAMILIES for options in ({}, {"bias": False}))],
    ids=str,
)
def test_a_module_of_torch(family, options, bidirectional, tmp_path):
    """Alone, and as part of a model with names of its own."""
    module = family.torch_class(E, 10, 2, batch_first=True, bidirectional=bidirectional, **options)
    fields = {"nonlinearity": "tanh"} if family is RNN else {}
    x = torch.randn(3, 7, E)
    expected = module(x)[0]
    alone = from_torch(module.state_dict(), vocab_size=V, pad_token_id=0, **fields)
    assert_close(alone(inputs_embeds=x).last_hidden_state, expected)
    assert alone(random_ids()).last_hidden_state.isfinite().all() and alone.config.pad_token_id == 0

    tagger = nn.ModuleDict({"words": nn.Embedding(V, E), "net": module})
    save_file(tagger.state_dict(), tmp_path / "weights.safetensors")
    model = from_torch(tmp_path / "weights.safetensors", embedding="words", **fields)
    ids = random_ids()
    assert_close(model(ids).last_hidden_state, module(tagger["words"](ids))[0])
    assert type(model) is family.head("Model")


@each_family
def test_a_model_with_other_names(family):
    module = family.torch_class(E, 10, batch_first=True)
    parts = nn.ModuleDict(
        {"embed": nn.Embedding(V, E), "body": nn.ModuleDict({"rnn": module}), "fc": nn.Linear(10, V)}
    )
    fields = {"nonlinearity": "tanh"} if family is RNN else {}
    model = from_torch(parts.double().state_dict(), "embed", "fc", hidden_dropout=0.0, output_dropout=0.3, **fields)
    ids = random_ids()
    assert_close(model(ids).logits, parts["fc"](module(parts["embed"](ids))[0]))
    assert model.dtype == torch.float64 and model.config.output_dropout == 0.3


def test_relu_is_not_guessed():
    module = nn.RNN(E, 10, batch_first=True, nonlinearity="relu")
    with pytest.raises(ValueError, match="`nonlinearity` is missing"):
        from_torch(module.state_dict(), vocab_size=V)
    x = torch.randn(3, 7, E)
    model = from_torch(module.state_dict(), vocab_size=V, nonlinearity="relu")
    assert_close(model(inputs_embeds=x).last_hidden_state, module(x)[0])


def test_the_adaptive_softmax_of_awd_lstm_lm():
    """Its criterion has a vector for each cluster of rarer tokens, the first cluster's being the last."""
    source, splits = Source(), [10, 15, 22]
    vectors, bias = torch.randn(3, E), torch.randn(3)
    weights = awd_lstm_lm(source) | {"tail_vectors": vectors, "tail_bias": bias}
    with pytest.raises(ValueError, match="`adaptive_cutoffs` is missing"):
        from_torch(weights)
    model = from_torch(weights, adaptive_cutoffs=splits)
    ids = random_ids(1)
    scores = source.read(ids[0].tolist(), source.fresh())
    hidden = model.model(ids).last_hidden_state[0]
    head = torch.cat([scores[:, :10], hidden @ vectors.T + bias], dim=1).log_softmax(1)
    parts = [head[:, :10]]
    for idx, (start, end) in enumerate([(10, 15), (15, 22), (22, V)], 1):
        parts.append(head[:, -idx, None] + scores[:, start:end].log_softmax(1))
    assert_close(model(ids).logits[0], torch.cat(parts, dim=1))


def without(tensors: dict, *names: str) -> dict:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def test_what_does_not_fit_is_named():
    lm, awd = one_module(Source(sizes=(10, 10), tied=False)), awd_lstm_lm(Source())
    module = nn.LSTM(E, 10, 2, bidirectional=True).state_dict()
    for weights, message in (
        ({}, "`weights` holds a dict: give a state dict"),
        ({"lr": 0.1} | lm, r"holds \['lr'\], which are not tensors"),
        ({"encoder.weight": lm["encoder.weight"]}, "holds no tensor named like `weight_ih_l0`, but"),
        (without(lm, "rnn.weight_hh_l1"), r"lacks `weight_hh_l1` \(or `1.weight_hh_l0`\)"),
        (without(lm, "rnn.bias_hh_l0"), "lacks `bias_hh_l0`"),
        (without(awd, "rnns.1.module.weight_ih_l0"), r"lacks `weight_ih_l1` \(or `1.weight_ih_l0`\)"),
        (without(awd, *(name for name in awd if "rnns.1" in name)), "lacks `weight_ih_l1`.*, `weight_hh_l1`"),
        (lm | {"attention.weight": torch.ones(2, 2)}, r"tensors without a place in a LSTMForCausalLM: \['attention"),
        (lm | {"rnn.weight_ih_l1": torch.ones(40, 9)}, r"'rnn.weight_ih_l1' of shape \(40, 9\), expected \(40, 10\)"),
        (lm | {"rnn.weight_hh_l1": torch.ones(40)}, r"`weight_hh_l1` .* of shape \(40,\)"),
        (lm | {"rnn.weight_hh_l1": torch.ones(41, 10)}, "are not those of a `torch.nn.LSTM`, `GRU` or `RNN`"),
        (lm | {"encoder.weight": torch.ones(V, 9)}, r"'encoder.weight' of shape \(31, 9\), expected \(31, 6\)"),
        (lm | {"decoder.weight": torch.ones(V, 9)}, r"'decoder.weight' of shape \(31, 9\), expected \(31, 10\)"),
        (without(lm, "encoder.weight"), "has an output layer, `decoder`, but no `embedding='encoder'`"),
        (lm | {f"other.{name}": tensor for name, tensor in module.items()}, r"several .* \['other', 'rnn'\]"),
        (lm | {"x.encoder.weight": lm["encoder.weight"]}, "say which of them is `encoder`, by its full name"),
        (module, "`vocab_size` is missing"),
        (fastai_2(Source()) | {"0.encoder_dp.emb.weight": torch.ones(V, E)}, "without a place .*encoder_dp.emb"),
        ({"encoder.weight": torch.ones(V, E), "rnns.0.linear.module.weight_raw": torch.ones(2, 2)}, "of a QRNN"),
        ({"0.rnns.0.layers.0.linear.weight_raw": torch.ones(2, 2)}, "of a QRNN"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torch(weights)
    with pytest.raises(ValueError, match="lacks `bias_ih_l1_reverse`"):
        from_torch(without(module, "bias_ih_l1_reverse"), vocab_size=V)
    reads_both_ways = nn.ModuleDict({"encoder": nn.Embedding(V, E), "rnn": nn.LSTM(E, 5, bidirectional=True)})
    with pytest.raises(ValueError, match="read in both directions, which are no language model"):
        from_torch(reads_both_ways.state_dict() | {"decoder.weight": torch.ones(V, 10)})
    for fields, message in (
        ({"vocab_size": 99}, "`vocab_size` is 99, but `weights` shows 31"),
        ({"hidden_siz": 99}, "Did you mean `hidden_size`"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torch(lm, **fields)


# Files that would run a program.


class Bomb:
    """What creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def plant(path, mark, how: str) -> None:
    content = Bomb(mark)
    if how == "torch":
        torch.save(content, path)
    elif how == "torch, before 1.6":
        torch.save({"encoder.weight": torch.ones(2, 2), "x": content}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps([content]))


@pytest.mark.parametrize("how", ["torch", "torch, before 1.6", "pickle"])
@pytest.mark.parametrize("read", [from_torch, read_vocabulary])
def test_no_pickle_is_run(how, read, tmp_path):
    path, mark = tmp_path / "weights.pkl", tmp_path / "mark"
    plant(path, mark, how)
    with pytest.raises(ValueError, match=r"which is not done here\. Where you trust"):
        read(path)
    assert not mark.exists()
    with open(path, "rb") as file:  # a bomb it is
        torch.load(file, weights_only=False) if "torch" in how else pickle.load(file)
    assert mark.exists()


def test_whole_modules_are_refused_with_the_remedy(tmp_path):
    """As word_language_model and awd-lstm-lm save them."""
    model = nn.ModuleDict({"encoder": nn.Embedding(V, E), "rnn": nn.LSTM(E, 10), "decoder": nn.Linear(10, V)})
    for content in (model, [model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=1.0)]):
        torch.save(content, tmp_path / "model.pt")
        with pytest.raises(ValueError, match=r"holds more than tensors.* `torch.save\(model.state_dict\(\)"):
            from_torch(tmp_path / "model.pt")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert from_torch(tmp_path / "model.pt").config.hidden_size == 10
    with pytest.raises(ValueError, match="is not a file"):
        from_torch(tmp_path / "none.pt")


# Vocabulary and command line.


def test_vocabularies(tmp_path):
    tokens = ["xxunk", "xxpad", "xxbos", "xxeos", "Zürich", "xxfake", "xxfake"]
    for name, content in (("a.json", json.dumps(tokens)), ("a.txt", "\n".join(tokens) + "\n")):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert read_vocabulary(tmp_path / name) == tokens
    torch.save(tokens, tmp_path / "a.pth")
    assert read_vocabulary(tmp_path / "a.pth") == tokens
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps(tokens))
    with pytest.raises(ValueError, match=r"is a pickle, or damaged.*open\(\"itos.json\", \"w\"\)"):
        read_vocabulary(tmp_path / "itos.pkl")
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="holds a dict: give a list of strings"):
        read_vocabulary(tmp_path / "a.json")

    tokenizer = word_tokenizer(tokens)
    assert tokenizer("xxbos Zürich Bern xxfake").input_ids == [2, 4, 0, 5]
    assert tokenizer.convert_ids_to_tokens([5, 6]) == ["xxfake", "xxfake#6"] and len(tokenizer) == 7
    assert [getattr(tokenizer, f"{name}_token_id") for name in ("unk", "pad", "bos", "eos")] == [0, 1, 2, 3]
    assert tokenizer.decode([2, 4, 0], skip_special_tokens=True) == "Zürich"
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    again = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert again("xxbos Zürich Bern xxfake").input_ids == [2, 4, 0, 5]
    with pytest.raises(ValueError, match="`tokens` is empty"):
        word_tokenizer([])


@pytest.mark.slow
def test_command_line(tmp_path, capsys):
    source = Source()
    torch.save(fastai_2(source), tmp_path / "weights.pth")
    tokens = ["xxunk", "xxpad", "xxbos", "xxeos", *(f"w{i}" for i in range(4, V))]
    (tmp_path / "itos.json").write_text(json.dumps(tokens))
    files = ["weights.pth", "--vocabulary", "itos.json", "--output_dir", "model"]
    command = [sys.executable, "-m", "hf_lstm.interop.converters", *files]
    own = environment(tmp_path / "home", ROOT)
    run = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert f"LSTMForCausalLM with {model.num_parameters():,} parameters in model" in run.stdout
    assert (model.config.pad_token_id, model.config.eos_token_id) == (1, 3)
    inputs = tokenizer("xxbos w5 w17 unknown", return_tensors="pt")
    expected = source.read([2, 5, 17, 0], source.fresh())
    assert_close(model(**inputs).logits[0], expected)
    written = model.generate(**inputs, max_new_tokens=1, do_sample=False)
    assert written[0, -1] == expected[-1].argmax()

    torch.save(nn.RNN(E, 4).state_dict(), tmp_path / "bare.pt")
    options = ["--output_dir", str(tmp_path / "bare"), "--vocab_size", "9", "--nonlinearity", "relu"]
    main([str(tmp_path / "bare.pt"), *options])
    assert "RNNModel" in capsys.readouterr().out
