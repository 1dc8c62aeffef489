# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Models that read a pretrained encoder, and n-grams of classifiers, compute in onnxruntime what they do in torch."""

import json
import subprocess
import sys

import onnx
import pytest
import torch
from families import GRU, LSTM, MASKS, RNN, assert_close, first_fast
from processes import environment
from test_encoders import KINDS, SENTENCES, build, encode, folders, words_of  # noqa: F401 (the fixture)
from test_export import WITHOUT_TORCH, batch_of, open_session, run
from transformers import AlbertConfig, DebertaV2Config, DistilBertConfig, FNetConfig, LongformerConfig

from hf_lstm.interop.onnx import export_onnx, quantize_onnx


LABELS = {0: "O", 1: "B-X", 2: "I-X"}
CRF = {"use_crf": True, "id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
LONG = [*SENTENCES, ["Ada", "McDonald's", "unseen", "\u200b"] * 4]
TINY = {"vocab_size": 50, "initializer_range": 0.3}
SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}


def compare(model, session, inputs, tolerance=2e-5):
    """All outputs, at real tokens and at padding."""
    with torch.no_grad():
        expected = model(**inputs)
    outputs = run(session, inputs)
    assert_close([*outputs.values()], [expected[name] for name in outputs], tolerance)


def moved(inputs) -> dict:
    """The same with padding of the pieces in front of them, and in them."""
    ids = inputs["encoder_ids"]
    front = torch.stack([row[(row != -1).argsort(stable=True)] for row in ids])
    return inputs | {"encoder_ids": torch.stack([front, torch.full_like(ids, -1)], 2).flatten(1)}


@first_fast("kind", {name: name for name in KINDS}, {"bert", "modernbert"})
@pytest.mark.parametrize("layers, pooling", [("last", "first"), ("mix", "last"), ("mix", "mean")])
def test_taggers(kind, layers, pooling, folders, tmp_path):  # noqa: F811
    """With characters and shapes; tokens of several pieces and of none; texts in one window and in several."""
    tokenizer = words_of(folders / kind)
    options = {"encoder_layers": layers, "encoder_pooling": pooling, "encoder_max_length": 11}
    model = build(folders / kind, tokenizer, **options, **CRF)
    torch.nn.init.normal_(model.classifier.weight)
    session = open_session(export_onnx(model, tmp_path / "model.onnx", tolerance=2e-5))
    window = model.config.encoder_window
    for sentences in (LONG, SENTENCES[:2], SENTENCES[1:2], SENTENCES[2:3]):
        for side in ("left", "right"):
            inputs = encode(tokenizer, sentences, padding_side=side)
            compare(model, session, inputs)
            compare(model, session, moved(inputs))
    assert (encode(tokenizer, LONG)["encoder_ids"] != -1).sum(1).max() > 2 * window


@pytest.mark.parametrize(
    ("family", "head", "fields"),
    [
        (GRU, "ForTokenClassification", {"embedding_size": 6}),
        (RNN, "ForSequenceClassification", {"ngram_buckets": 64, "pooling": "concat", "train_encoder": False}),
        (LSTM, "Model", {"num_hidden_layers": 1, "encoder_special_ids": [[], []]}),
    ],
    ids=["tokens", "texts", "states"],
)
def test_heads(family, head, fields, folders, tmp_path):  # noqa: F811
    """Words beside the encoder; classifiers of texts with n-grams, too; a backbone that carries its state."""
    tokenizer = words_of(folders / "roberta")
    model = build(folders / "roberta", tokenizer, family, head, **fields)
    if head == "ForSequenceClassification":
        model.ngrams.weight.normal_()
    path = export_onnx(model, tmp_path / "model.onnx", tolerance=2e-5)
    inputs = encode(tokenizer)
    outputs = run(open_session(path), inputs)
    name = next(iter(outputs))
    with torch.no_grad():
        assert_close(outputs[name], model(**inputs)[name], 2e-5)
    assert model.config.encoder._attn_implementation != "eager"  # under which it was recorded


def test_text_without_a_token_or_a_piece(folders, tmp_path):  # noqa: F811
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, **CRF)
    session = open_session(export_onnx(model, tmp_path / "model.onnx"))
    for sentences in ([["\u200b"]], [["\u200b"], ["Ada"]], [[]], [[], ["Ada"]]):
        compare(model, session, encode(tokenizer, sentences))


V3 = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
OTHERS = {
    "distilbert": DistilBertConfig(dim=8, n_layers=2, n_heads=2, hidden_dim=12, **TINY),
    "deberta v3": DebertaV2Config(**SMALL, **TINY, **V3, norm_rel_ebd="layer_norm", position_biased_input=False),
    "albert": AlbertConfig(embedding_size=6, **SMALL, **TINY),
}


@first_fast("encoder", OTHERS)
def test_other_encoders_of_transformers(encoder, tmp_path):
    """`export_onnx` itself compares them, also where a text has more pieces than a window."""
    options = {"encoder_max_length": 9, "encoder_stride": 3, "encoder_special_ids": [[1], [2, 3]]}
    model = LSTM.build("ForTokenClassification", encoder=encoder, **options, **CRF)
    export_onnx(model, tmp_path / "model.onnx", tolerance=2e-5)


@pytest.mark.parametrize("kind", ["bert", "deberta"])
def test_quantized(kind, folders, tmp_path):  # noqa: F811
    """Linear layers of the encoder multiply integers; what attention multiplies is no weight."""
    tokenizer = words_of(folders / kind)
    model = build(folders / kind, tokenizer, hidden_size=32, **CRF)
    path = export_onnx(model, tmp_path / "model.onnx")
    quantized = quantize_onnx(path)
    nodes = [node for node in onnx.load(quantized).graph.node if node.name.startswith("encoder/")]
    assert sum(node.op_type == "MatMulInteger" for node in nodes) >= 12
    inputs = encode(tokenizer)
    exact, close = (run(open_session(each), inputs) for each in (path, quantized))
    assert (exact["predictions"] != close["predictions"]).float().mean() < 0.2
    assert 0 < (exact["logits"] - close["logits"]).abs().max() < 1


NGRAMS = {
    "tokens": {"ngram_order": 3},
    "characters": {"char_vocab_size": 9},
    "short characters": {"char_vocab_size": 9, "char_ngram_order": 3, "ngram_order": 1},
    "no characters": {"char_vocab_size": 9, "char_ngram_order": 2, "embedding_size": 0},
    "one bucket": {"char_vocab_size": 9, "ngram_buckets": 1},
    "many buckets": {"char_vocab_size": 9, "ngram_buckets": 1 << 16},
}


@pytest.mark.parametrize("fields", NGRAMS.values(), ids=NGRAMS)
def test_ngrams(fields, tmp_path):
    """Hashes of 64 bits that wrap around; n-grams that come several times; rows shorter than an n-gram, or empty."""
    model = LSTM.build("ForSequenceClassification", **({"ngram_buckets": 50, "num_labels": 3} | fields))
    for buffer in (model.ngrams.weight, model.ngrams.bias):
        buffer.normal_()
    model.ngrams.idf.uniform_(1, 5)
    session = open_session(export_onnx(model, tmp_path / "model.onnx", tolerance=2e-5))
    random = torch.Generator().manual_seed(0)
    for rows, length, width in ((4, 30, 7), (1, 1, 1), (3, 2, 12), (5, 9, 1)):
        mask = (torch.rand(rows, length, generator=random) < torch.linspace(1, 0, rows)[:, None]).long()
        batch = {"input_ids": torch.randint(4, mask.shape, generator=random), "attention_mask": mask}
        if "char_vocab_size" in fields:
            lengths = torch.randint(width + 1, (rows, length, 1), generator=random)
            characters = torch.randint(1, 9, (rows, length, width), generator=random)
            batch["char_ids"] = characters * (torch.arange(width) < lengths)
        compare(model, session, batch)


def test_ngrams_quantized(tmp_path):
    model = LSTM.build("ForSequenceClassification", char_vocab_size=9, ngram_buckets=1 << 14, num_labels=3)
    model.ngrams.weight.normal_()
    path = export_onnx(model, tmp_path / "model.onnx")
    quantized = quantize_onnx(path)
    assert quantized.stat().st_size < 0.5 * path.stat().st_size
    batch = batch_of(model, torch.tensor(MASKS["holes"]))
    exact, close = (run(open_session(each), batch)["logits"] for each in (path, quantized))
    assert 0 < (exact - close).abs().max() < 0.05 * exact.abs().max()


def test_what_cannot_be_exported(folders, tmp_path, monkeypatch):  # noqa: F811
    path = tmp_path / "new" / "model.onnx"
    model = LSTM.build("ForTokenClassification", encoder=FNetConfig(hidden_size=8, num_hidden_layers=1, **TINY))
    with pytest.raises(ValueError, match=r"`encoder` is of the kind 'fnet', which `torch.onnx.export` cannot record"):
        export_onnx(model, path)
    longformer = LongformerConfig(**SMALL, **TINY, attention_window=4, pad_token_id=1, max_position_embeddings=80)
    with pytest.raises(ValueError, match=r"steps depend on the example .* of the kind 'longformer'"):
        export_onnx(
            LSTM.build("ForTokenClassification", encoder=longformer, encoder_max_length=40, encoder_stride=4), path
        )
    monkeypatch.setattr("hf_lstm.interop.onnx_pieces.LARGEST", 1000)
    with pytest.raises(ValueError, match=r"'bert', has .* parameters, more than the 2 GB"):
        export_onnx(build(folders / "bert", words_of(folders / "bert")), path)
    assert not path.parent.exists()


@pytest.mark.slow
def test_exported_folder_is_all_that_is_needed(folders, tmp_path):  # noqa: F811
    """Words in and labels out in a process that has neither torch nor hf_lstm."""
    tokenizer = words_of(folders / "bert")
    model = build(folders / "bert", tokenizer, **CRF)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "tagger")
    export_onnx(tmp_path / "tagger", tmp_path / "onnx" / "model.onnx")
    line = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "onnx"), json.dumps(SENTENCES)]
    done = subprocess.run(line, cwd=tmp_path, env=environment(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        predictions = model(**encode(tokenizer)).predictions
    assert json.loads(done.stdout) == [[LABELS[int(i)] for i in row if i != -100] for row in predictions]
