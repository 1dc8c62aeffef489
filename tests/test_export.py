# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What is exported computes, in onnxruntime, what the models compute in torch."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from families import (
    ADAPTIVE,
    FAMILIES,
    GRU,
    LSTM,
    MASKS,
    MIXTURE,
    RNN,
    UNTIED_ADAPTIVE,
    assert_close,
    each_family,
    features,
    random_ids,
    states,
)
from processes import environment

from hf_lstm import LSTMForTokenClassification, LSTMTokenizer
from hf_lstm.interop.onnx import export_onnx, main, quantize_onnx
from hf_lstm.interop.onnx_graph import build_model


LABELS = ["O", *(f"{place}-{kind}" for kind in "XY" for place in "BIES")]
CRF = {"use_crf": True, "id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
WORDS = {"char_vocab_size": 9, "shape_vocab_size": 5}
POOLINGS = [
    ("ForSequenceClassification", {"pooling": pooling, "bidirectional": bidirectional})
    for pooling in ("last", "mean", "max", "concat", "attention")
    for bidirectional in (False, True)
]
HEADS = [
    ("Model", {}),
    ("Model", {"bidirectional": True}),
    ("ForCausalLM", {}),
    ("ForTokenClassification", {}),
    ("ForTokenClassification", WORDS | {"char_encoder": "recurrent"}),
    ("ForTokenClassification", CRF),
    ("ForTokenClassification", CRF | WORDS | {"bidirectional": False}),
    *POOLINGS,
]
STACKS = {
    "two layers": {},
    "residual, norm": {"num_hidden_layers": 3, "residual_connections": True, "layer_norm": True},
    "no bias": {"bias": False},
    "tapering": {"hidden_sizes": [10, 8, 5], "hidden_size": 5, "num_hidden_layers": 3},
}


def named(fields: dict) -> str:
    """The values that can be read, in their order: processes that share the tests must name them alike."""
    return ", ".join(f"{name}={value}" for name, value in fields.items() if not isinstance(value, dict))


CASES = [
    pytest.param(family, head, fields | STACKS[stack], id=f"{family}, {head}, {stack}, {named(fields)}")
    for family in FAMILIES
    for head, fields in HEADS
    for stack in (STACKS if fields in ({}, {"bidirectional": True}) else ["two layers"])
]
CASES += [
    pytest.param(LSTM, "Model", {"projection_size": 4, "bidirectional": True}, id="projection"),
    pytest.param(LSTM, "ForCausalLM", {"projection_size": 4}, id="language model with projection"),
    pytest.param(RNN, "ForTokenClassification", {"nonlinearity": "relu"}, id="relu"),
    pytest.param(LSTM, "ForCausalLM", ADAPTIVE, id="adaptive"),
    pytest.param(GRU, "ForCausalLM", UNTIED_ADAPTIVE, id="adaptive, untied"),
    pytest.param(RNN, "ForCausalLM", MIXTURE, id="mixture"),
    pytest.param(GRU, "ForCausalLM", {"lm_head_bias": False, "tie_word_embeddings": False}, id="no bias at the end"),
]


def session_of(model) -> onnxruntime.InferenceSession:
    return open_session(build_model(model).SerializeToString())


def open_session(source) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def zeros(session, batch_size: int) -> dict[str, np.ndarray]:
    """The state before the first token."""
    inputs = [each for each in session.get_inputs() if each.name.startswith("past_key_values")]
    return {each.name: np.zeros((batch_size, *each.shape[1:]), np.float32) for each in inputs}


def run(session, batch: dict, state: dict | None = None) -> dict[str, torch.Tensor]:
    """All outputs by name, from a state of zeros unless there is one."""
    inputs = {name: value.numpy() for name, value in batch.items()}
    state = zeros(session, len(inputs["input_ids"])) if state is None else state
    names = [each.name for each in session.get_outputs()]
    return {n: torch.from_numpy(x) for n, x in zip(names, session.run(names, inputs | state), strict=True)}


def advanced(outputs: dict) -> dict[str, np.ndarray]:
    """The state to go on from."""
    return {n.replace("present", "past_key_values"): x.numpy() for n, x in outputs.items() if n.startswith("present")}


def batch_of(model, mask) -> dict[str, torch.Tensor]:
    """Random inputs under a mask, all that the model reads."""
    mask, config = torch.as_tensor(mask), model.config
    batch = {"input_ids": random_ids(*mask.shape), "attention_mask": mask}
    if config.char_vocab_size:
        lengths = torch.randint(6, (*mask.shape, 1))  # also words without characters
        batch["char_ids"] = torch.randint(1, 9, (*mask.shape, 5)) * (torch.arange(5) < lengths)
    if config.shape_vocab_size:
        batch["shape_ids"] = torch.randint(5, mask.shape)
    return batch


@pytest.mark.parametrize(("family", "head", "fields"), CASES)
def test_onnx_equals_torch(family, head, fields):
    """Whatever the mask, the batch size and the length, at padding too."""
    model = family.build(head, **fields)
    for norm in model.base_model.norms:  # what they make of padding is then not zero by itself
        torch.nn.init.normal_(norm.bias)
    session = session_of(model)
    for mask in [*MASKS.values(), [[1]], [[1] * 11, [0] * 4 + [1] * 7]]:
        batch = batch_of(model, mask)
        with torch.no_grad():
            expected = model(**batch)
        outputs = run(session, batch)
        compared = [name for name in outputs if not name.startswith("present")]
        assert compared == (["predictions", "logits"] if model.config.use_crf else [next(iter(expected))])
        assert_close([outputs[name] for name in compared], [expected[name] for name in compared], 2e-5)
        if "past_key_values" in expected and "projection_size" not in fields:
            assert_close([outputs[name] for name in outputs if name not in compared], states(expected), 2e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_best_path_keeps_the_scheme(family):
    """Where the most probable labels of the tokens would not; and the posteriors of an improbable path."""
    model = family.build("ForTokenClassification", **CRF, bidirectional=True)
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    batch = batch_of(model, torch.ones(50, 9).long())
    with torch.no_grad():
        expected = model(**batch)
        alone = model.classifier(model.model(batch["input_ids"]).last_hidden_state).argmax(-1)
    outputs = run(session_of(model), batch)
    assert torch.equal(outputs["predictions"], expected.predictions)
    assert (alone != expected.predictions).any()
    assert torch.equal(outputs["logits"].argmax(-1), expected.predictions)
    torch.testing.assert_close(outputs["logits"], expected.logits, atol=1e-4, rtol=1e-4)


@each_family
@pytest.mark.parametrize("head", ["Model", "ForCausalLM"])
def test_whole_equals_steps(family, head):
    model = family.build(head)
    session, ids = session_of(model), random_ids()
    with torch.no_grad():
        whole = model(ids, use_cache=True)
    state, parts = zeros(session, 3), []
    for token in ids.split(1, dim=1):
        outputs = run(session, {"input_ids": token, "attention_mask": torch.ones_like(token)}, state)
        state = advanced(outputs)
        parts.append(next(iter(outputs.values())))
    assert_close(torch.cat(parts, 1), next(iter(whole.values())), 2e-5)
    assert_close([torch.from_numpy(x) for x in state.values()], states(whole), 2e-5)


def test_goes_on_from_the_state_of_torch():
    """A prompt padded on the left, read by torch; one row then waits for the others."""
    model = LSTM.build("ForCausalLM")
    ids, mask = random_ids(3, 9), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]])
    following = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]])
    with torch.no_grad():
        cache = model(ids[:, :4], attention_mask=mask).cache
        layers = [dict(zip("hc", layer.states, strict=True)) for layer in cache.layers]
        state = {f"past_key_values.{i}.{n}": x.numpy() for i, layer in enumerate(layers) for n, x in layer.items()}
        expected = model(ids[:, 4:], attention_mask=following, cache=cache)
    outputs = run(session_of(model), {"input_ids": ids[:, 4:], "attention_mask": following}, state)
    assert_close(outputs["logits"], expected.logits, 2e-5)
    assert_close([torch.from_numpy(x) for x in advanced(outputs).values()], states(expected), 2e-5)
    assert np.array_equal(advanced(outputs)["past_key_values.0.c"][1], state["past_key_values.0.c"][1])


@each_family
def test_greedy_decoding_equals_generate(family):
    model = family.build("ForCausalLM")
    ids = random_ids(2, 4)
    expected = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=None)
    session, token, state, tokens = session_of(model), ids, None, [ids]
    for _ in range(12):
        outputs = run(session, {"input_ids": token, "attention_mask": torch.ones_like(token)}, state)
        token, state = outputs["logits"][:, -1:].argmax(-1), advanced(outputs)
        tokens.append(token)
    assert torch.equal(torch.cat(tokens, 1), expected)


@each_family
@pytest.mark.parametrize("size", [None, 3])
def test_context_models(family, size):
    """Texts padded on either side, and tokens without characters."""
    contexts = [family.config(vocab_size=13, hidden_size=h, num_hidden_layers=1).to_dict() for h in (5, 4)]
    model = family.build("ForTokenClassification", context_models=contexts, context_projection_size=size, **CRF)
    batch = batch_of(model, MASKS["left"])
    length = torch.tensor([[12], [9], [4]])
    for shift in (0, 12 - length):
        place = torch.arange(12) - shift
        batch["context_ids"] = torch.randint(1, 13, (3, 12)) * ((place >= 0) & (place < length))
        first = torch.randint(1, 3, (3, 7))
        last = first + torch.randint(0, 2, (3, 7))
        spans = torch.stack([first, last], -1) * batch["attention_mask"][..., None]
        spans[1, 3] = 0
        batch["context_spans"] = spans
        with torch.no_grad():
            expected = model(**batch)
        outputs = run(session_of(model), batch)
        assert torch.equal(outputs["predictions"], expected.predictions)
        assert_close(outputs["logits"], expected.logits, 1e-4)


def test_weights_that_two_layers_share_are_written_once(tmp_path):
    model = GRU.build("ForCausalLM", vocab_size=5000, embedding_size=None)
    path = export_onnx(model, tmp_path / "model.onnx")
    assert path.stat().st_size < 1.2 * 4 * model.num_parameters()
    onnx.checker.check_model(str(path), full_check=True)
    quantized = quantize_onnx(path)
    batch = {"input_ids": random_ids(), "attention_mask": torch.tensor(MASKS["holes"])}
    exact, close = (run(open_session(each), batch)["logits"] for each in (path, quantized))
    assert 0 < (exact - close).abs().max() < 0.03 * exact.abs().max()


@each_family
def test_quantized(family, tmp_path):
    """The layers of an LSTM multiply integers; onnxruntime has nothing of the kind for the others."""
    model = family.build("ForTokenClassification", **CRF, **WORDS, vocab_size=500, embedding_size=20, hidden_size=32)
    path = export_onnx(model, tmp_path / "model.onnx")
    quantized = quantize_onnx(path, tmp_path / "int8.onnx")
    operators = [node.op_type for node in onnx.load(quantized).graph.node]
    assert ("DynamicQuantizeLSTM" in operators, family.name in operators) == (family is LSTM, family is not LSTM)
    assert "Gemm" not in operators and "MatMulInteger" in operators
    assert quantized.stat().st_size < (0.4 if family is LSTM else 0.9) * path.stat().st_size
    batch = batch_of(model, torch.tensor(MASKS["left"]))
    exact, close = (run(open_session(each), batch) for each in (path, quantized))
    assert (exact["predictions"] != close["predictions"]).float().mean() < 0.2
    assert 0 < (exact["logits"] - close["logits"]).abs().max() < 1


RECORDED = [
    (LSTM, "Model", {"bidirectional": True}),
    (GRU, "ForCausalLM", {"num_hidden_layers": 1}),
    (RNN, "ForCausalLM", {"residual_connections": True, "layer_norm": True}),
    (GRU, "ForTokenClassification", WORDS | {"num_hidden_layers": 1}),
    (LSTM, "ForTokenClassification", {"char_vocab_size": 9, "char_encoder": "recurrent", "num_hidden_layers": 1}),
    (LSTM, "ForSequenceClassification", {"projection_size": 4, "num_hidden_layers": 1}),
    (RNN, "ForSequenceClassification", {"bidirectional": True, "num_hidden_layers": 1}),
]


def recorded(model, batch: dict, **fixed):
    """By `torch.export`, with all sizes dynamic."""
    if not hasattr(torch.compiler, "is_exporting"):
        pytest.skip("torch.export of our models needs torch 2.7")
    sizes = {name: dict.fromkeys(range(value.ndim), torch.export.Dim.AUTO) for name, value in batch.items()}
    shapes = sizes | dict.fromkeys(fixed)
    with torch.no_grad():
        return torch.export.export(model, (), batch | fixed, dynamic_shapes=shapes)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "head", "fields"), RECORDED)
def test_torch_export(family, head, fields):
    """Other sizes and other padding than those of the example."""
    model = family.build(head, **fields)
    fixed = {"use_cache": False} if head in ("Model", "ForCausalLM") else {}
    program = recorded(model, batch_of(model, MASKS["right"]), **fixed).module()
    for mask in (*MASKS.values(), [[1] * 11], [[0, 1, 0, 1, 1]] * 5, [[1]]):
        batch = batch_of(model, mask)
        with torch.no_grad():
            assert_close(features(program(**batch, **fixed)), features(model(**batch, **fixed)), 2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [CRF | WORDS, {"use_crf": True}, CRF | {"tag_scheme": "BIOES"}],
    ids=["tags", "unconstrained", "decoded in BIOES"],
)
def test_torch_export_of_a_crf(fields):
    """Best path, posteriors and loss, as loops in the graph."""
    model = RNN.build("ForTokenClassification", **fields, num_hidden_layers=1, bidirectional=False)

    def batch(mask):
        inputs = batch_of(model, mask)
        labels = torch.randint(model.num_labels, inputs["input_ids"].shape)
        return inputs | {"labels": labels.masked_fill(inputs["attention_mask"] == 0, -100)}

    program = recorded(model, batch(MASKS["right"]), output_marginals=True).module()
    for mask in (*MASKS.values(), [[1] * 11], [[0, 1, 0, 1, 1]] * 5, [[1]]):
        inputs = batch(mask) | {"output_marginals": True}
        with torch.no_grad():
            found, expected = program(**inputs), model(**inputs)
        assert torch.equal(found.predictions, expected.predictions)
        for name in ("logits", "marginals", "loss"):
            assert_close(found[name], expected[name], 1e-5)


def test_torch_export_refuses_entity_probabilities():
    model = RNN.build("ForTokenClassification", **CRF, num_hidden_layers=1, bidirectional=False)
    with pytest.raises(ValueError, match=r"`output_entity_probabilities=True` .* `output_marginals=True`"):
        recorded(model, batch_of(model, MASKS["right"]), output_entity_probabilities=True)


@pytest.mark.slow
def test_torch_compile():
    """A mask and a CRF break the graph and change nothing, at several lengths."""
    model = GRU.build("ForTokenClassification", **CRF, num_hidden_layers=1, bidirectional=False)
    compiled = torch.compile(model, backend="eager", dynamic=True)
    for mask in (MASKS["holes"], [[0, 1, 0, 1, 1]] * 5):
        batch = batch_of(model, mask)
        with torch.no_grad():
            assert_close(compiled(**batch).logits, model(**batch).logits)


@pytest.fixture
def tagger(tmp_path):
    """A folder with a tagger of words, and sentences."""
    sentences = [["Ada", "Lovelace", "sang"], ["Bob", "met", "Ada", "in", "Paris", "."]]
    tokenizer = LSTMTokenizer.train_from_iterator(
        sentences, "word", split_punctuation=False, characters=True, word_shapes=True, show_progress=False
    )
    sizes = {"char_vocab_size": tokenizer.char_vocab_size, "shape_vocab_size": tokenizer.shape_vocab_size}
    model = LSTM.build("ForTokenClassification", **CRF, **sizes, vocab_size=len(tokenizer))
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "tagger")
    return tmp_path / "tagger", model, tokenizer, sentences


WITHOUT_TORCH = """
import json, sys
for name in ("torch", "hf_lstm", "safetensors", "onnx"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
import onnxruntime
from transformers import AutoTokenizer
folder, sentences = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
session = onnxruntime.InferenceSession(folder + "/model.onnx")
labels = json.load(open(folder + "/config.json"))["id2label"]
inputs = tokenizer(sentences, is_split_into_words=True, padding=True, return_tensors="np")
(predictions,) = session.run(["predictions"], dict(inputs))
print(json.dumps([[labels[str(i)] for i in row if i != -100] for row in predictions]))
"""


@pytest.mark.slow
def test_exported_folder_is_all_that_is_needed(tagger, tmp_path, capsys):
    """By the command line; then words in and labels out in a process that has neither torch nor hf_lstm."""
    folder, model, tokenizer, sentences = tagger
    main([str(folder), "--int8"])
    exported = folder / "onnx"
    assert str(exported / "model_quantized.onnx") in capsys.readouterr().out
    line = [sys.executable, "-c", WITHOUT_TORCH, str(exported), json.dumps(sentences)]
    done = subprocess.run(line, cwd=tmp_path, env=environment(tmp_path / "home"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for sentence, labels in zip(sentences, found, strict=True):
        inputs = tokenizer([sentence], is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            assert labels == [model.config.id2label[int(i)] for i in model(**inputs).predictions[0]]


def test_a_saved_model_keeps_its_files(tagger):
    """Exported into its own folder, it loads as before."""
    folder, *_ = tagger
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    export_onnx(folder, folder / "model.onnx")
    assert {file.name for file in folder.iterdir()} - before.keys() == {"model.onnx"}
    assert all((folder / name).read_bytes() == content for name, content in before.items())


def test_the_model_given_stays_as_it_is(tmp_path):
    model = GRU.build("ForSequenceClassification", input_dropout=0.5).to(torch.bfloat16).train()
    path = export_onnx(model, tmp_path / "model.onnx")
    assert model.training and model.dtype == torch.bfloat16 and "auto_map" not in vars(model.config)
    batch = batch_of(model, MASKS["right"])
    with torch.no_grad():
        expected = model.float().eval()(**batch).logits
    assert_close(run(open_session(path), batch)["logits"], expected, 2e-5)


class Doubled(LSTMForTokenClassification):
    """A subclass with arithmetic of its own."""

    def forward(self, *args, **kwargs):
        outputs = super().forward(*args, **kwargs)
        outputs.logits = 2 * outputs.logits
        return outputs


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    path = tmp_path / "new" / "model.onnx"
    with pytest.raises(ValueError, match="`model` gives other logits than its export"):
        export_onnx(Doubled(LSTM.config()), path)
    with pytest.raises(ValueError, match="`model` is a Linear, no model of hf_lstm"):
        export_onnx(torch.nn.Linear(1, 1), path)
    with pytest.raises(ValueError, match=r"`model` is '.*', which holds no config.json"):
        export_onnx(tmp_path, path)
    Doubled(LSTM.config()).save_pretrained(tmp_path / "own")
    with pytest.raises(ValueError, match=r"which holds Doubled, no class of hf_lstm"):
        export_onnx(tmp_path / "own", path)
    assert not path.parent.exists()
    with pytest.raises(ValueError, match=r"`path` is .*, where no file is"):
        quantize_onnx(path)
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path)])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install onnx"):
        export_onnx(GRU.build("Model"), path)
