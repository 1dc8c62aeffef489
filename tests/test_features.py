# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Models that read features, such as those of a signal: no vocabulary, `inputs_embeds` alone."""

import re

import numpy as np
import pytest
import torch
import transformers
from families import LSTM, MASKS, PLAIN_TRAINING, assert_close, each_family, each_mask, states
from transformers import Trainer, TrainingArguments

from hf_lstm import LSTMConfig
from hf_lstm.evaluation.diagnostics import gradient_flow
from hf_lstm.interop.onnx import export_onnx
from hf_lstm.models.stack import RecurrentStack


F = 5
NO_WORDS = {"vocab_size": None, "embedding_size": F, "pad_token_id": None}
HEADS = ("Model", "ForTokenClassification", "ForSequenceClassification")
each_head = pytest.mark.parametrize("head", HEADS)


def signal(batch_size: int = 3, length: int = 7) -> torch.Tensor:
    return torch.randn(batch_size, length, F)


def answer(outputs) -> torch.Tensor:
    return outputs[0]


@each_family
def test_backbone_equals_torch(family):
    """The layers alone, on the features as they are."""
    model, features = family.build("Model", **NO_WORDS, num_hidden_layers=1), signal()
    reference = family.torch_class(F, 10, batch_first=True)
    reference.load_state_dict(model.layers[0].state_dict())
    assert_close(model(inputs_embeds=features).last_hidden_state, reference(features)[0])
    assert not any("embed" in name for name, _ in model.named_parameters())


@each_mask
@each_head
@each_family
def test_padding_changes_nothing(family, head, mask):
    """Whatever stands at padding, even NaN."""
    model, features = family.build(head, **NO_WORDS, bidirectional=True), signal()
    spoilt = features.masked_fill(mask[..., None] == 0, float("nan"))
    batch = answer(model(inputs_embeds=spoilt, attention_mask=mask))
    for row, real in enumerate(mask.bool()):
        if not real.any():
            continue
        alone = answer(model(inputs_embeds=features[row : row + 1, real]))[0]
        assert_close(batch[row] if head == "ForSequenceClassification" else batch[row, real], alone)


@each_family
def test_state_is_carried(family):
    model, features = family.build("Model", **NO_WORDS), signal()
    whole, state, parts = model(inputs_embeds=features), None, []
    for part in features.split([1, 4, 2], dim=1):
        outputs = model(inputs_embeds=part, cache=state)
        state = outputs.cache
        parts.append(outputs.last_hidden_state)
    assert_close(torch.cat(parts, dim=1), whole.last_hidden_state)
    assert_close(states(outputs), states(whole))


@each_family
def test_a_stack_alone(family, tmp_path):
    """Layers without any inputs of their own; a wrong size is an error, whatever torch's kernel would read."""
    stack_class = type("Stack", (family.head("PreTrainedModel"), RecurrentStack), {})
    stack, features = stack_class(family.config(**NO_WORDS)).eval(), signal()
    twin = family.build("Model", **NO_WORDS)
    twin.load_state_dict(stack.state_dict())
    assert_close(stack(features).last_hidden_state, twin(inputs_embeds=features).last_hidden_state, 0)
    for wrong in (features[..., :4], torch.cat([features, features], -1), features[0], None):
        with pytest.raises(ValueError, match=r"`inputs_embeds` has shape .* expected \(batch, length, 5\)"):
            stack(wrong)
    assert gradient_flow(stack, inputs_embeds=features).norms.shape == (2, 1, 7)
    assert export_onnx(stack, tmp_path / "model.onnx").is_file() and stack.get_input_embeddings() is None
    with pytest.raises(TypeError, match="no family of cells"):
        RecurrentStack(family.config(**NO_WORDS))


@each_head
@each_family
def test_saved_is_loaded(family, head, tmp_path):
    model, features = family.build(head, **NO_WORDS), signal()
    model.save_pretrained(tmp_path)
    loaded = getattr(transformers, model._auto_class).from_pretrained(tmp_path)
    assert loaded.config.vocab_size is None and loaded.get_input_embeddings() is None
    assert torch.equal(answer(loaded(inputs_embeds=features)), answer(model(inputs_embeds=features)))


def test_card_says_how_to_use_it(tmp_path, monkeypatch, capsys):
    model = LSTM.build("ForSequenceClassification", **NO_WORDS)
    model.save_pretrained(tmp_path / "signals")
    snippets = re.findall(r"```python\n(.*?)```", (tmp_path / "signals" / "README.md").read_text(), flags=re.S)
    monkeypatch.chdir(tmp_path)
    for code in snippets:
        exec(code.replace('"signals"', '"./signals"'), {})
    assert len(snippets) == 2 and capsys.readouterr().out.count("SequenceClassifierOutput") == 2


@each_head
@each_family
def test_export(family, head, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, features = family.build(head, **NO_WORDS, bidirectional=True), signal()
    session = onnxruntime.InferenceSession(export_onnx(model, tmp_path / "model.onnx"))
    inputs = {"inputs_embeds": features.numpy(), "attention_mask": np.array(MASKS["holes"])}
    found = session.run(None, inputs)[0]
    expected = model(inputs_embeds=features, attention_mask=torch.tensor(MASKS["holes"]))
    assert_close(torch.from_numpy(found), answer(expected).detach())


@each_family
def test_a_classifier_of_signals_learns(family, tmp_path):
    """Whether the first feature rises or falls, which no step says by itself."""
    model = family.build("ForSequenceClassification", **NO_WORDS, num_hidden_layers=1, num_labels=2, hidden_size=16)
    rising = torch.rand(64) > 0.5
    slope = torch.linspace(-1, 1, 12)[None, :, None] * (2 * rising[:, None, None] - 1)
    features = torch.cat([slope, torch.randn(64, 12, F - 1)], dim=-1)
    rows = [{"inputs_embeds": x, "labels": int(y)} for x, y in zip(features, rising, strict=True)]
    arguments = PLAIN_TRAINING | {"optim": "adamw_torch", "learning_rate": 0.01, "num_train_epochs": 12}
    Trainer(model, TrainingArguments(str(tmp_path), **arguments), train_dataset=rows).train()
    predicted = model.eval()(inputs_embeds=features).logits.argmax(-1)
    assert (predicted == rising).float().mean() > 0.9


@each_family
def test_what_cannot_be(family):
    with pytest.raises(ValueError, match=r"`vocab_size=None`.*`embedding_size`, which is None"):
        family.config_class(vocab_size=None)
    with pytest.raises(ValueError, match=r"`pad_token_id=0` names a token"):
        family.config(**NO_WORDS | {"pad_token_id": 0})
    with pytest.raises(ValueError, match=r"`word_dropout=0.1`"):
        family.config_class(vocab_size=None, embedding_size=F, word_dropout=0.1)
    with pytest.raises(ValueError, match=r"`vocab_size=None` leaves"):
        family.head("ForCausalLM")(family.config(**NO_WORDS))
    with pytest.raises(ValueError, match=r"`input_ids` were given .*\(batch, length, 5\)"):
        family.build("Model", **NO_WORDS)(torch.tensor([[1, 2]]))
    with pytest.raises(ValueError, match=r"`inputs_embeds` has shape \(1, 2, 4\)"):
        family.build("Model", **NO_WORDS)(inputs_embeds=torch.randn(1, 2, 4))
    with pytest.raises(ValueError, match="`vocab_size` is None"):
        family.build("Model", **NO_WORDS).resize_token_embeddings(7)
    assert LSTMConfig(vocab_size=None, embedding_size=F).feature_size == F
