# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""In ONNX an encoder-decoder takes the steps of the model, and a loop without torch writes what `generate` does."""

import importlib.util
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from families import ADAPTIVE, FAMILIES, GRU, LSTM, MASKS, MIXTURE, RNN, assert_close, each_family, states
from processes import ROOT, environment
from transformers import BertConfig

from hf_lstm import LSTMTokenizer, RecurrentEncoderDecoderConfig, RecurrentEncoderDecoderForConditionalGeneration
from hf_lstm.interop.onnx import export_onnx, main, quantize_onnx
from hf_lstm.interop.onnx_encoder_decoder import build_models


EXAMPLE = ROOT / "examples" / "translate_onnx.py"
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


def build(family, encoder: dict | None = None, decoder: dict | None = None, other=None, **fields):
    """A model whose attention and states have something to say; `other` the family of its decoder."""
    config = RecurrentEncoderDecoderConfig(
        encoder=family.config(**SPECIAL, num_hidden_layers=1, **(encoder or {})),
        decoder=(other or family).config(**SPECIAL, tie_word_embeddings=False, **(decoder or {})),
        **fields,
    )
    return RecurrentEncoderDecoderForConditionalGeneration(config).eval()


def open_session(source) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(session, inputs: dict) -> dict[str, np.ndarray]:
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def steps(sessions, source: dict, tokens: torch.Tensor) -> tuple[dict, list[np.ndarray]]:
    """What the decoder gives for each token, as `forward` gives it, and the states after the last."""
    encoder, decoder = sessions
    outputs = run(encoder, {name: value.numpy() for name, value in source.items()})
    memory = {"keys": outputs.pop("keys"), "values": outputs.pop("values")}
    memory |= {"attention_mask": source["attention_mask"].numpy(), "top_k": np.array([4])}
    each, found = len(tokens) // len(memory["keys"]), []
    outputs = {name: value.repeat(each, axis=0) for name, value in outputs.items()}
    for now in tokens.numpy().T:
        state = {name.replace("present", "past_key_values"): x for name, x in outputs.items() if "present" in name}
        outputs = run(decoder, {"tokens": now} | memory | state)
        found.append(outputs)
    axes = {"logits": 1, "top_scores": 1, "top_tokens": 1, "cross_attentions": 2}
    stacked = {name: np.stack([step[name] for step in found], axis=axis) for name, axis in axes.items()}
    return stacked, [value for name, value in outputs.items() if "present" in name]


CASES = [
    (LSTM, {}),
    (GRU, {"attention": "additive", "num_attention_heads": 2, "bridge": "mean"}),
    (RNN, {"attention": "general", "bridge": "none", "decoder": {"num_hidden_layers": 3}}),
    (RNN, {"attention": "additive", "decoder": {"num_hidden_layers": 1, "nonlinearity": "relu"}}),
    (
        GRU,
        {"attention": "general", "num_attention_heads": 5, "input_feeding": True, "encoder": {"bidirectional": False}},
    ),
    (LSTM, {"input_feeding": True, "bridge": "none", "attention_size": 6, "decoder": {"num_hidden_layers": 1}}),
    (
        GRU,
        {"decoder": {"num_hidden_layers": 3, "residual_connections": True, "layer_norm": True}}
        | {"encoder": {"layer_norm": True, "bidirectional": False}, "bridge": "mean", "num_attention_heads": 2},
    ),
    (LSTM, {"decoder": {"projection_size": 4}, "encoder": {"projection_size": 4}, "input_feeding": True}),
    (LSTM, {"decoder": {"bias": False, "lm_head_bias": False}, "encoder": {"bias": False}, "other": GRU}),
    (GRU, {"decoder": ADAPTIVE, "encoder": {"char_vocab_size": 9, "shape_vocab_size": 5}}),
    (RNN, {"decoder": MIXTURE, "attention": "additive", "num_attention_heads": 2}),
]


def named(value) -> str:
    return str(value) if not isinstance(value, dict) else ", ".join(f"{k}={v}" for k, v in value.items())


@pytest.mark.parametrize(("family", "fields"), CASES, ids=named)
def test_steps_equal_the_whole(family, fields):
    """Logits, weights and states, of sources padded anywhere, with one target and with three of each."""
    model = build(family, **fields)
    for norm in [*model.encoder.norms, *model.decoder.norms]:  # what they make of padding is then not zero by itself
        torch.nn.init.normal_(norm.bias)
    sessions = [open_session(graph.SerializeToString()) for graph in build_models(model).values()]
    for mask, rows in [*((mask, 1) for mask in MASKS.values()), (MASKS["holes"], 3), ([[1]], 5)]:
        mask = torch.tensor(mask)
        source = {"input_ids": torch.randint(1, 31, mask.shape), "attention_mask": mask}
        if model.config.encoder.char_vocab_size:
            characters = torch.randint(1, 9, (*mask.shape, 4)) * (torch.arange(4) < torch.randint(5, (*mask.shape, 1)))
            source |= {"char_ids": characters, "shape_ids": torch.randint(5, mask.shape)}
        tokens = torch.randint(1, 31, (rows * len(mask), 4))
        with torch.no_grad():
            expected = model(**source, decoder_input_ids=tokens, output_attentions=True, use_cache=True)
        found, after = steps(sessions, source, tokens)
        assert_close(torch.from_numpy(found["logits"]), expected.logits, 2e-5)
        assert_close(torch.from_numpy(found["cross_attentions"]), expected.cross_attentions[0], 1e-5)
        assert_close([torch.from_numpy(x) for x in after], [state[:, 0] for state in states(expected)], 2e-5)
        best = expected.logits.log_softmax(-1).topk(4)
        assert_close(torch.from_numpy(found["top_scores"]), best.values, 2e-5)
        assert torch.equal(torch.from_numpy(found["top_tokens"]), best.indices)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("translate_onnx", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources_for(seed: int, vocab_size: int) -> tuple[list[list[int]], dict[str, torch.Tensor]]:
    """Six sources of 1 to 8 tokens, as lists and as a padded batch."""
    draw = random.Random(seed)
    sources = [[draw.randrange(4, vocab_size) for _ in range(draw.randint(1, 8))] + [3] for _ in range(6)]
    longest = max(map(len, sources))
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in sources])
    return sources, {"input_ids": ids, "attention_mask": (ids != 0).long()}


def targets(sequences: torch.Tensor) -> list[list[int]]:
    """Without the token that they begin with, and what stands behind their end."""
    rows = [row[1:] for row in sequences.tolist()]
    return [row[: row.index(3) + 1] if 3 in row else row for row in rows]


SEARCHES = list(itertools.product((2, 5), (0.0, 0.8, 2.0, -1.0), (False, True, "never")))


@pytest.mark.parametrize("seed", range(6))
def test_the_loop_finds_what_generate_does(example, tmp_path, seed):
    """Tokens of all beams and their scores, greedy search too; vocabularies in which texts end soon and late."""
    family, vocab_size = FAMILIES[seed % 3], (6, 31)[seed % 2]
    fields = {"attention": ("scaled_dot", "additive", "general")[seed % 3], "input_feeding": seed > 3}
    sizes = {"encoder": {"vocab_size": vocab_size}, "decoder": {"vocab_size": vocab_size}}
    model = build(family, **sizes, **fields)
    translator = example.Translator(export_onnx(model, tmp_path))
    sources, batch = sources_for(seed, vocab_size)
    length = (1, 5, 12)[seed // 2]
    greedy = model.generate(**batch, max_new_tokens=length, num_beams=1, do_sample=False)
    assert translator.greedy(sources, length) == targets(greedy)
    for beams, penalty, early in SEARCHES[seed % 2 :: 2]:
        options = {"max_new_tokens": length, "length_penalty": penalty, "early_stopping": early}
        asked = {"num_beams": beams, "num_return_sequences": beams, "return_dict_in_generate": True}
        expected = model.generate(**batch, **options, **asked, do_sample=False)
        found = [each for best in translator.beam_search(sources, beams, **options) for each in best]
        assert [target for _, target in found] == targets(expected.sequences), options
        assert [score for score, _ in found] == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)


@each_family
def test_quantized(example, family, tmp_path):
    """All products of the decoder are of integers, those of GRU and RNN too, and what is found stays close."""
    sizes = {"vocab_size": 300, "embedding_size": 32, "hidden_size": 48, "initializer_range": 0.3}
    model = build(family, sizes, sizes, num_attention_heads=2)
    assert quantize_onnx(export_onnx(model, tmp_path)) == tmp_path
    files = [[tmp_path / f"{part}_model{end}.onnx" for part in ("encoder", "decoder")] for end in ("", "_quantized")]
    operators = {node.op_type for node in onnx.load(files[1][1]).graph.node}
    assert "MatMulInteger" in operators and not operators & {"Gemm", "LSTM", "GRU", "RNN"}
    encoders, decoders = ([file.stat().st_size for file in pair] for pair in zip(*files, strict=True))
    assert encoders[1] < (0.4 if family is LSTM else 0.95) * encoders[0] and decoders[1] < 0.35 * decoders[0]
    mask = torch.tensor(MASKS["left"])
    source = {"input_ids": torch.randint(1, 300, mask.shape), "attention_mask": mask}
    tokens = torch.randint(1, 300, (6, 4))
    exact, small = (steps([open_session(file) for file in pair], source, tokens)[0]["logits"] for pair in files)
    assert 0 < np.abs(exact - small).max() < 0.1 * np.abs(exact).max()
    sources, _ = sources_for(0, 300)
    found = [example.Translator(tmp_path, int8).greedy(sources, 3) for int8 in (False, True)]
    assert sum(a == b for a, b in zip(*found, strict=True)) >= 4


TEXTS = ["a cat sat on a mat", "the dog saw the cat", "a mat", ""]


@pytest.fixture
def saved(tmp_path):
    """A folder with a model and a tokenizer of both languages."""
    tokenizer = LSTMTokenizer.train_from_iterator(TEXTS, "word", add_eos_token=True, show_progress=False)
    size = {"vocab_size": len(tokenizer)}
    model = build(LSTM, size, size)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "translator")
    return tmp_path / "translator", model, tokenizer


def translated(model, tokenizer, **options) -> list[str]:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    return tokenizer.batch_decode(model.generate(**batch, **options, do_sample=False), skip_special_tokens=True)


def test_texts(example, saved):
    """By the command line of the export; a text without a word, too; and with a tokenizer for each side."""
    folder, model, tokenizer = saved
    main([str(folder)])
    assert {file.name for file in (folder / "onnx").glob("*.onnx")} == {"encoder_model.onnx", "decoder_model.onnx"}
    translator = example.Translator(folder / "onnx")
    assert [translator(text, max_new_tokens=9) for text in TEXTS] == translated(model, tokenizer, max_new_tokens=9)
    beams = {"num_beams": 3, "max_new_tokens": 9, "length_penalty": 0.6}
    expected = translated(model, tokenizer, **beams)
    assert [translator(text, **beams) for text in TEXTS] == expected and len(set(expected)) > 1
    other = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = other["model"]["vocab"].items()
    other["model"]["vocab"] = {token if i < 4 else token.upper(): i for token, i in vocabulary}
    (folder / "onnx" / "target-tokenizer.json").write_text(json.dumps(other))
    found = [example.Translator(folder / "onnx")(text, **beams) for text in TEXTS]
    assert found == [text.upper() for text in expected] != expected


WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "transformers", "hf_lstm", "safetensors", "onnx"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_without_torch(saved, tmp_path, capsys):
    folder, model, tokenizer = saved
    main([str(folder), "--int8"])
    assert len(capsys.readouterr().out.splitlines()) == 4
    line = [sys.executable, "-c", WITHOUT_TORCH, str(EXAMPLE), str(folder / "onnx"), "--num_beams", "3"]
    line += ["--max_new_tokens", "9", "--length_penalty", "0.6"]
    home = environment(tmp_path / "home")
    for more in ([], ["--int8"]):
        text = "\n".join(TEXTS) + "\n"
        done = subprocess.run([*line, *more], cwd=tmp_path, env=home, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found = done.stdout.splitlines()
        assert len(found) == len(TEXTS)
        if not more:
            assert found == translated(model, tokenizer, num_beams=3, max_new_tokens=9, length_penalty=0.6)


class Doubled(RecurrentEncoderDecoderForConditionalGeneration):
    """A subclass with arithmetic of its own."""

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.logits = 2 * outputs.logits
        return outputs


def test_what_cannot_be_exported(tmp_path):
    model, folder = build(GRU), tmp_path / "new"
    with pytest.raises(ValueError, match=r"`path` is '.*model.onnx', one file, .* Pass the folder"):
        export_onnx(model, folder / "model.onnx")
    with pytest.raises(ValueError, match="`model` gives other logits than its export"):
        export_onnx(Doubled(model.config), folder)
    bert = BertConfig(vocab_size=31, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    foreign = RecurrentEncoderDecoderConfig(encoder=bert, decoder=model.config.decoder)
    with pytest.raises(ValueError, match=r"`model` has an encoder of the kind 'bert', .* Export a model whose"):
        export_onnx(RecurrentEncoderDecoderForConditionalGeneration(foreign), folder)
    assert not folder.exists()
    with pytest.raises(ValueError, match=r"`path` is '.*encoder_model.onnx', where no file is"):
        quantize_onnx(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "attention"), [(LSTM, "scaled_dot"), (GRU, "additive"), (RNN, "general")])
def test_torch_export(family, attention):
    """Without input feeding: other sizes and other padding than those of the example."""
    model = build(family, attention=attention, num_attention_heads=2)

    def batch(mask, length: int) -> dict:
        mask = torch.tensor(mask)
        sources = {"input_ids": torch.randint(1, 31, mask.shape), "attention_mask": mask}
        return sources | {"decoder_input_ids": torch.randint(1, 31, (len(mask), length))}

    fixed, example = {"use_cache": False}, batch(MASKS["right"], 5)
    sizes = {name: dict.fromkeys(range(2), torch.export.Dim.AUTO) for name in example} | dict.fromkeys(fixed)
    with torch.no_grad():
        program = torch.export.export(model, (), example | fixed, dynamic_shapes=sizes).module()
        for mask, length in (*((mask, 5) for mask in MASKS.values()), ([[1] * 11], 3), ([[0, 1, 0, 1, 1]] * 5, 9)):
            inputs = batch(mask, length)
            options = {"decoder_attention_mask": torch.ones_like(inputs["decoder_input_ids"])}
            assert_close(program(**inputs, **fixed).logits, model(**inputs, **options, **fixed).logits, 1e-5)


def test_torch_export_refuses_input_feeding():
    model, source = build(GRU, input_feeding=True), torch.ones(2, 3, dtype=torch.long)
    inputs = {"input_ids": source, "decoder_input_ids": source, "use_cache": False}
    with pytest.raises(ValueError, match=r"`input_feeding=True` .* `export_onnx`"):
        torch.export.export(model, (), inputs)


def test_the_model_given_stays_as_it_is(tmp_path):
    model = build(RNN).to(torch.bfloat16).train()
    before, after = torch.get_rng_state(), export_onnx(model, tmp_path) and torch.get_rng_state()
    assert torch.equal(before, after) and model.training and model.dtype == torch.bfloat16
    written = {file.name for file in Path(tmp_path).glob("*.json")}
    assert written == {"config.json", "generation_config.json"}
