# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Adapters of peft: LoRA on the recurrent weights, what else peft can do, and a head that it must not lose."""

import contextlib
import copy
import re
import subprocess
import sys
import warnings

import peft
import pytest
import torch
import transformers
from families import (
    ADAPTIVE,
    GRU,
    LSTM,
    MASKS,
    MIXTURE,
    PLAIN_TRAINING,
    UNTIED_ADAPTIVE,
    assert_close,
    each_family,
    each_variant,
    encoder_decoder,
    random_ids,
)
from packaging.version import Version
from processes import ROOT, environment
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, Trainer, TrainingArguments
from transformers.integrations.peft import MIN_PEFT_VERSION

from hf_lstm.interop.peft import lora_config, recurrent_weights
from hf_lstm.models import classification
from hf_lstm.models.crf import LinearChainCRF


pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # peft uses it too

LABELS = ["O", "B-A", "I-A", "B-B", "I-B"]


def adapt(model, **options):
    """The model with LoRA on its recurrent weights that changes its outputs, in evaluation mode."""
    options = {"r": 2, "lora_alpha": 3, "init_lora_weights": False} | options
    return peft.get_peft_model(model, lora_config(model, **options)).eval()


def tagger(family, **fields):
    return family.build("ForTokenClassification", **({"use_crf": True, "id2label": dict(enumerate(LABELS))} | fields))


@torch.no_grad()
def answer(model, ids):
    """Outputs that can be compared bit for bit: how torch rounds depends on whether weights want gradients."""
    return model.requires_grad_(False)(input_ids=ids)


def merged_by_hand(model, twin):
    """`twin`, a plain model, with the weights W + alpha / r B A of `model`; and A and B of each weight by its name."""
    tensors, factors, names = model.state_dict(), {}, recurrent_weights(twin)
    for name in names:
        layer = name.rpartition(".")[0]
        own = [each for each in names if each.startswith(f"{layer}.")]
        nested = ".base_layer" * (len(own) - 1 - own.index(name))  # the last is outermost
        a, b = factors[name] = [f"base_model.model.{layer}{nested}.lora_{part}.default.weight" for part in "AB"]
        twin.get_parameter(name).data += 3 / 2 * tensors[b] @ tensors[a]
    return factors


# The mathematics.


@pytest.mark.parametrize("checkpointing", [None, {"use_reentrant": False}, {"use_reentrant": True}], ids=str)
@each_variant
def test_outputs_and_gradients_are_those_of_the_changed_weights(family, fields, checkpointing):
    """With W' = W + s B A: dL/dB = s dL/dW' A^T and dL/dA = s B^T dL/dW'."""
    base, twin = (family.build("Model", bidirectional=True, **fields) for _ in range(2))
    twin.load_state_dict(base.state_dict())
    model = adapt(base)
    factors = merged_by_hand(model, twin)
    assert len(factors) == len(recurrent_weights(twin)) >= 4
    if checkpointing:
        model.base_model.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing)
    ids = random_ids(length=9)
    for mask in (None, torch.arange(9) < torch.tensor([[9], [2], [5]])):
        outputs = [each.train()(input_ids=ids, attention_mask=mask).last_hidden_state for each in (model, twin)]
        assert_close(*outputs)
        for each, output in zip((model, twin), outputs, strict=True):
            each.zero_grad()
            output.square().sum().backward()
        grads = {name: p.grad for name, p in model.named_parameters()}
        values = dict(model.named_parameters())
        for name, (a, b) in factors.items():
            of_weight = 3 / 2 * twin.get_parameter(name).grad
            assert_close(grads[b], of_weight @ values[a].T, 1e-4)
            assert_close(grads[a], values[b].T @ of_weight, 1e-4)
        assert not any("lora" not in name and grad is not None for name, grad in grads.items())


@pytest.mark.parametrize("checkpointing", [{"use_reentrant": False}, {"use_reentrant": True}], ids=str)
@each_family
def test_checkpointing_hands_on_the_gradient_of_a_state(family, checkpointing):
    model, ids, gradients = adapt(family.build("ForCausalLM")).train(), random_ids(), []
    for enabled in (False, True):
        if enabled:
            model.base_model.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing)
        model.zero_grad()
        state = model(input_ids=ids[:, :3], use_cache=True).cache
        state = model(input_ids=ids[:, 3:], cache=state, use_cache=True).cache
        sum(s.square().sum() for layer in state.layers for s in layer.states).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    assert any(gradient.any() for gradient in gradients[0])
    assert_close(*gradients)


def test_checkpointing_computes_an_adapted_layer_again(monkeypatch):
    calls, kernel = [], LSTM.head("Model").layer_class.kernel
    monkeypatch.setattr(LSTM.head("Model").layer_class, "kernel", lambda *a: (calls.append(1), kernel(*a))[1])
    model = adapt(LSTM.build("ForCausalLM"))
    model.base_model.model.gradient_checkpointing_enable()
    loss = model.train()(input_ids=random_ids(), labels=random_ids()).loss
    assert len(calls) == 2
    loss.backward()
    assert len(calls) == 4
    assert all(layer.gradient_checkpointing for layer in model.modules() if hasattr(layer, "cell_function"))


@each_variant
def test_merged_is_unmerged(family, fields):
    base = family.build("ForCausalLM", **fields)
    ids, mask = random_ids(), torch.tensor(MASKS["holes"])
    with torch.no_grad():
        before = base(ids, attention_mask=mask).logits
        model = adapt(base)
        adapted = model(input_ids=ids, attention_mask=mask).logits
        assert (adapted - before).abs().max() > 0.1
        model.merge_adapter()
        assert_close(model(input_ids=ids, attention_mask=mask).logits, adapted)
        model.unmerge_adapter()
        assert_close(model(input_ids=ids, attention_mask=mask).logits, adapted)
        with model.disable_adapter():
            assert_close(model(input_ids=ids, attention_mask=mask).logits, before)
        merged = model.merge_and_unload()
        assert_close(merged(ids, attention_mask=mask).logits, adapted)
    assert type(merged) is family.head("ForCausalLM")
    assert set(merged.state_dict()) == set(family.build("ForCausalLM", **fields).state_dict())


WAYS = {"greedy": {}, "beams": {"num_beams": 3}, "prompt lookup": {"prompt_lookup_num_tokens": 2}}


@pytest.mark.parametrize("way", WAYS)
@each_family
def test_generation_with_an_adapter(family, way):
    """Cached = uncached = merged, and not what the model writes without."""
    base = family.build("ForCausalLM")
    ids, mask = random_ids(), torch.tensor([[0, 0, 1, 1, 1, 1, 1]] * 3)
    if way == "prompt lookup":
        ids, mask = ids[:1], None
    options = {"max_new_tokens": 12, "do_sample": False, "attention_mask": mask}
    without = base.generate(ids, **options, **WAYS[way])
    model = adapt(base)
    cached = model.generate(input_ids=ids, **options, **WAYS[way])
    assert not torch.equal(cached, without)
    uncached = {} if way == "prompt lookup" else WAYS[way]
    assert torch.equal(model.generate(input_ids=ids, use_cache=False, **options, **uncached), cached)
    merged = copy.deepcopy(model).merge_and_unload()
    assert merged._has_plain_steps() and not base._has_plain_steps()
    assert torch.equal(merged.generate(ids, **options, **WAYS[way]), cached)


def test_one_adapted_layer_is_enough_for_the_slow_loop():
    """The loop over bare cells would read the weights beneath the adapter."""
    base = LSTM.build("ForCausalLM")
    options = {"max_new_tokens": 12, "do_sample": False}
    model = adapt(base, target_parameters=["layers.1.weight_hh_l0"])
    written = model.generate(input_ids=random_ids(), **options)
    torch.manual_seed(1)
    assert not base._has_plain_steps()
    assert torch.equal(model.merge_and_unload().generate(written[:, :7], **options), written)


@each_family
def test_chunks_continue_from_the_state(family):
    model = adapt(family.build("ForCausalLM"))
    ids = random_ids()
    first = model(input_ids=ids[:, :3], use_cache=True)
    second = model(input_ids=ids[:, 3:], cache=first.cache)
    assert_close(torch.cat([first.logits, second.logits], dim=1), model(input_ids=ids).logits)


@each_family
def test_autocast(family):
    base, twin = (family.build("ForCausalLM", initializer_range=0.3) for _ in range(2))
    twin.load_state_dict(base.state_dict())
    model, ids = adapt(base), random_ids()
    merged_by_hand(model, twin)
    expected = twin(ids).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (model(input_ids=ids).logits - expected).abs().max() < 0.06 * expected.abs().max()
        model(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


# Training.


def train(model, inputs, steps: int = 60, rate: float = 0.03) -> float:
    """The loss after some steps of Adam."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    for _ in range(steps):
        model.train()(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return model.eval()(**inputs).loss.item()


@each_family
def test_an_adapter_learns_what_a_head_on_frozen_weights_cannot(family):
    """Whether three tokens have an even sum, which takes memory. Only the adapter and the head are trained."""
    ids = torch.randint(1, 3, (16, 12))
    inputs = {"input_ids": ids, "labels": (ids + ids.roll(1, 1) + ids.roll(2, 1)) % 2}
    inputs["labels"][:, :2] = -100
    losses = []
    for rank in (None, 8):
        torch.manual_seed(0)
        base = tagger(family, bidirectional=False, initializer_range=0.5, id2label={0: "even", 1: "odd"}, vocab_size=3)
        before = {name: p.clone() for name, p in base.named_parameters()}
        options = {"target_parameters": ["layers.0.weight_hh_l0"]} if rank is None else {"lora_alpha": 32}
        model = peft.get_peft_model(base, lora_config(base, rank or 1, **options))
        for name, parameter in model.named_parameters():
            if rank is None and "lora" in name:
                parameter.requires_grad_(False)
        losses.append(train(model, inputs, 150))
        after = dict(base.named_parameters())
        assert all(torch.equal(after[frozen_name(name, after)], tensor) for name, tensor in before.items())
        trained = {name for name, p in base.named_parameters() if p.requires_grad}
        assert all("lora" in name or "modules_to_save.default" in name for name in trained)
    assert losses[1] < 0.5 * losses[0]


def frozen_name(name: str, names) -> str:
    """The name under which peft has put a parameter away."""
    module, _, parameter = name.rpartition(".")
    for inserted in ("", ".base_layer", ".base_layer.base_layer", ".base_layer" * 4, ".original_module"):
        if f"{module}{inserted}.{parameter}" in names:
            return f"{module}{inserted}.{parameter}"
    raise KeyError(name)


def test_trainer_trains_an_adapter_and_a_crf(tmp_path):
    base = tagger(LSTM)
    model = peft.get_peft_model(base, lora_config(base))
    rows = [{"input_ids": row, "labels": row % 5} for row in random_ids(8)]
    before = {name: p.clone() for name, p in model.named_parameters()}
    arguments = TrainingArguments(
        tmp_path, **PLAIN_TRAINING, max_steps=3, gradient_accumulation_steps=2, per_device_train_batch_size=2
    )
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
    parts = {name.partition(".modules_to_save")[0] for name in changed if "modules_to_save" in name}
    assert parts == {"base_model.model.classifier", "base_model.model.crf"}
    predictions = trainer.predict(rows).predictions.argmax(-1)
    assert torch.equal(torch.tensor(predictions), model(torch.stack([row["input_ids"] for row in rows])).predictions)
    trainer.save_model(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert_close(saved["base_model.model.crf.transitions"], model.crf.transitions, 0)


# Several adapters, saved and loaded.


@each_family
def test_several_adapters(family):
    """Each has its own weights, classifier and CRF; what one does not depend on the other."""
    ids = random_ids()
    alone = []
    for seed in (1, 2):
        torch.manual_seed(0)
        base = tagger(family)
        torch.manual_seed(seed)
        model = adapt(base)
        scramble_head(model)
        alone.append(answer(model, ids).logits)
    torch.manual_seed(0)
    base = tagger(family)
    without = answer(base, ids).logits
    torch.manual_seed(1)
    model = adapt(base)
    scramble_head(model)
    torch.manual_seed(2)
    model.add_adapter("second", lora_config(model, 2, lora_alpha=3, init_lora_weights=False))
    model.set_adapter("second")
    scramble_head(model)
    for name, expected in (("second", alone[1]), ("default", alone[0]), ("second", alone[1])):
        model.set_adapter(name)
        assert torch.equal(answer(model, ids).logits, expected)
    with model.disable_adapter():
        assert torch.equal(answer(model, ids).logits, without)
    model.delete_adapter("second")
    model.set_adapter("default")
    assert torch.equal(answer(model, ids).logits, alone[0])
    assert not torch.allclose(alone[0], alone[1], atol=0.1)


def scramble_head(model) -> None:
    """Let the copies of the head that the active adapter has look trained."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name and parameter.requires_grad:
                parameter.normal_(std=2)


def test_the_crf_of_the_adapter_decodes():
    base = tagger(LSTM)
    model, ids = adapt(base), random_ids()
    before = {name: p.clone() for name, p in base.crf.original_module.named_parameters()}
    scramble_head(model)
    twin = LinearChainCRF(len(LABELS), LABELS)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(model.state_dict()[f"base_model.model.crf.modules_to_save.default.{name}"])
    scores = []
    base.classifier.register_forward_hook(lambda *args: scores.append(args[-1]))
    real = torch.tensor(MASKS["right"]) != 0
    options = {"output_marginals": True, "output_entity_probabilities": True}
    for crf, context in ((twin, contextlib.nullcontext()), (base.crf.original_module, model.disable_adapter())):
        with context, torch.no_grad():
            outputs = model(input_ids=ids, attention_mask=real, **options)
            expected = crf.decode(scores[-1], real)[0]
            assert torch.equal(outputs.predictions, expected)
            assert_close(outputs.marginals, crf.marginals(scores[-1], real))
            assert_close(outputs.entity_probabilities, crf.entity_probabilities(scores[-1], expected, real))
            loss = model(input_ids=ids, attention_mask=real, labels=ids % 5).loss
            assert_close(loss, crf(scores[-1], ids % 5, real).sum() / real.sum())
    assert all(torch.equal(p, before[name]) for name, p in base.crf.original_module.named_parameters())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A language model, and the adapter of a tagger on it, whose head no other file has; and what the tagger says."""
    folder, ids = tmp_path_factory.mktemp("adapters"), random_ids()
    LSTM.build("ForCausalLM").save_pretrained(folder / "base")
    model = adapt(load_base(folder))
    scramble_head(model)
    model.save_pretrained(folder / "adapter")
    return folder, ids, answer(model, ids)


def load_base(folder):
    """The tagger without the adapter, with a head that is drawn anew at each call."""
    fields = {"use_crf": True, "id2label": dict(enumerate(LABELS)), "bidirectional": False}
    model = LSTM.head("ForTokenClassification").from_pretrained(folder / "base", **fields)
    return model.eval()


def load_with_peft(folder):
    return peft.PeftModel.from_pretrained(load_base(folder), folder / "adapter")


def load_into_a_model(folder):
    model = load_base(folder)
    model.load_adapter(folder / "adapter")
    return model


def load_and_save_again(folder):
    load_with_peft(folder).save_pretrained(folder / "again")
    return peft.PeftModel.from_pretrained(load_base(folder), folder / "again")


def load_to_train(folder):
    return peft.PeftModel.from_pretrained(load_base(folder), folder / "adapter", is_trainable=True).eval()


def load_merged(folder):
    load_with_peft(folder).merge_and_unload().save_pretrained(folder / "merged")
    return AutoModelForTokenClassification.from_pretrained(folder / "merged")


@pytest.mark.parametrize("load", [load_with_peft, load_into_a_model, load_and_save_again, load_to_train, load_merged])
def test_a_saved_adapter_brings_all_that_was_trained(saved, load):
    """Bit for bit, over a base whose head is another each time."""
    folder, ids, expected = saved
    assert not torch.equal(load_base(folder)(ids).logits, expected.logits)
    found = answer(load(folder), ids)
    assert torch.equal(found.predictions, expected.predictions)
    assert_close(found.logits, expected.logits, 1e-5 if load is load_merged else 0)


@torch.no_grad()
def test_an_adapter_after_another_is_loaded_into_the_same_weights(tmp_path):
    """Files name the weights of a layer by the nesting of peft's wrappers, and two of one shape can be confused."""
    fields, ids = {"embedding_size": 10}, random_ids()
    model = adapt(LSTM.build("ForCausalLM", **fields), target_parameters=["layers.0.weight_ih_l0"])
    model(input_ids=ids)  # in which peft takes the weight out of the layer and puts it back
    merged = model.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    model = adapt(merged)
    model.save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    again = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    assert_close(answer(again, ids).logits, answer(model, ids).logits, 0)


ELSEWHERE = """
import sys
from pathlib import Path
from without_package import NotInstalled
sys.meta_path.insert(0, NotInstalled())
import peft, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

torch.set_num_threads(1)
root = Path(sys.argv[1])
ids = load_file(root / "ids.safetensors")["ids"]
base = AutoModelForTokenClassification.from_pretrained(root / "tagger", trust_remote_code=True)
models = {
    "peft": peft.PeftModel.from_pretrained(base, root / "adapter"),
    "auto": peft.AutoPeftModelForTokenClassification.from_pretrained(root / "adapter", trust_remote_code=True),
    "transformers": AutoModelForTokenClassification.from_pretrained(root / "adapter", trust_remote_code=True),
}
with torch.no_grad():
    answers = {name: model.eval().requires_grad_(False)(input_ids=ids).logits for name, model in models.items()}
    merged = models["peft"].merge_and_unload()
    answers["merged"] = merged(ids).logits
save_file(answers, root / "answers.safetensors")

base = AutoModelForTokenClassification.from_pretrained(root / "tagger", trust_remote_code=True)
model = peft.get_peft_model(base, peft.LoraConfig(target_parameters=["layers.0.weight_hh_l0"], task_type="TOKEN_CLS"))
print([name for name, p in model.named_parameters() if "crf" in name and p.requires_grad])
"""


@pytest.mark.slow
def test_adapters_where_hf_lstm_is_not_installed(tmp_path):
    """The folder of the base brings the code, and sees to its CRF there as well."""
    tagger(LSTM).save_pretrained(tmp_path / "tagger")
    base, ids = AutoModelForTokenClassification.from_pretrained(tmp_path / "tagger"), random_ids()
    model = adapt(base)
    scramble_head(model)
    model.save_pretrained(tmp_path / "adapter")
    save_file({"ids": ids}, tmp_path / "ids.safetensors")
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path)]
    run = subprocess.run(
        command, env=environment(tmp_path / "home", ROOT / "tests"), cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"crf\.modules_to_save\.default\.\w+", run.stdout)) == 3
    expected = answer(model, ids).logits
    for name, found in load_file(tmp_path / "answers.safetensors").items():
        assert_close(found, expected, 1e-5 if name == "merged" else 0)


# The head.


def parts_to_save(model) -> set[str]:
    wrappers = {name.rpartition(".modules_to_save")[0] for name, p in model.named_parameters() if p.requires_grad}
    return {name.rpartition(".")[2] for name in wrappers - {""}}


HEADS = {
    "ForTokenClassification": ("TOKEN_CLS", {"use_crf": True, "id2label": dict(enumerate(LABELS))}, "classifier crf"),
    "ForSequenceClassification": ("SEQ_CLS", {"pooling": "attention"}, "score pooler"),
}


@pytest.fixture
def frozen_heads(monkeypatch):
    """The warnings of frozen heads, each time."""
    found, logger = [], classification.logger
    monkeypatch.setattr(logger, "warning_once", lambda text: found.append(text))
    return found


def inputs_of(task_type: str) -> dict[str, torch.Tensor]:
    labels = random_ids() % 2
    return {"input_ids": random_ids(), "labels": labels[:, 0] if task_type == "SEQ_CLS" else labels}


@pytest.mark.parametrize("head", HEADS)
def test_a_plain_configuration_keeps_the_head(head, frozen_heads, tmp_path):
    """Peft by itself knows the linear layer alone."""
    task_type, fields, parts = HEADS[head]
    plain = {"target_parameters": ["layers.0.weight_hh_l0"]}
    base = LSTM.build(head, **fields)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type=task_type, **plain))
    assert parts_to_save(model) == set(parts.split())
    inputs = inputs_of(task_type)
    model.train()(**inputs).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.save_pretrained(tmp_path)
    saved = {name.split(".")[2] for name in load_file(tmp_path / "adapter_model.safetensors")}
    assert saved == {"model", *parts.split()}


@pytest.mark.skipif(
    Version(peft.__version__) < Version(MIN_PEFT_VERSION),
    reason=f"`add_adapter` of transformers {transformers.__version__} asks for peft {MIN_PEFT_VERSION}",
)
@pytest.mark.parametrize("head", HEADS)
def test_an_adapter_of_transformers_keeps_the_head(head, frozen_heads):
    task_type, fields, parts = HEADS[head]
    inputs = inputs_of(task_type)
    base = LSTM.build(head, **fields)
    base.add_adapter(peft.LoraConfig(target_parameters=["layers.0.weight_hh_l0"]))
    assert parts_to_save(base) == set(parts.split())
    base.train()(**inputs).loss.backward()
    assert frozen_heads == []
    base.delete_adapter("default")
    with pytest.raises(AttributeError, match="peft_config"):
        base.peft_config  # noqa: B018


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_is_frozen_is_told(head, frozen_heads):
    """Where peft asks nobody: without a task, and with one more adapter."""
    task_type, fields, parts = HEADS[head]
    inputs = inputs_of(task_type)
    plain = {"target_parameters": ["layers.0.weight_hh_l0"]}
    model = peft.get_peft_model(LSTM.build(head, **fields), peft.LoraConfig(**plain))
    model.eval()(**inputs)
    with torch.no_grad():
        model.train()(**inputs)
    assert frozen_heads == []
    model(**inputs)
    assert len(frozen_heads) == 1 and all(f"'{part}'" in frozen_heads[0] for part in parts.split())

    model = peft.get_peft_model(LSTM.build(head, **fields), peft.LoraConfig(task_type=task_type, **plain))
    model.add_adapter("second", peft.LoraConfig(task_type=task_type, **plain))
    model.set_adapter("second")
    model.train()(**inputs)
    forgotten = {"TOKEN_CLS": "['crf']", "SEQ_CLS": "['pooler']"}[task_type]
    assert len(frozen_heads) == 2 and f"all of {forgotten} are frozen" in frozen_heads[1]
    model.add_adapter("third", lora_config(model, **plain))
    model.set_adapter("third")
    model(**inputs)
    LSTM.build(head, **fields).train()(**inputs)
    assert len(frozen_heads) == 2
    assert parts_to_save(model) == set(parts.split())


# What the configuration says, and what peft can do beside LoRA on recurrent weights.


def test_the_configuration():
    fields = {"projection_size": 4, "bidirectional": True, "pooling": "attention"}
    model = LSTM.build("ForSequenceClassification", **fields)
    config = lora_config(model, 4, rank_pattern={"layers.1.weight_hr_l0": 3}, modules_to_save=["embed_tokens"])
    assert (config.r, config.task_type) == (4, "SEQ_CLS")
    assert config.modules_to_save == ["embed_tokens", "pooler", "score"]
    names = [f"weight_{kind}_l0{suffix}" for suffix in ("", "_reverse") for kind in ("ih", "hh", "hr")]
    assert recurrent_weights(model) == [f"model.layers.{i}.{name}" for i in (0, 1) for name in names]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*did not match any targeted module")  # of peft 0.21; yet it acts
        model = peft.get_peft_model(model, config)
    shapes = {tuple(p.shape) for name, p in model.named_parameters() if "lora_B" in name}
    assert shapes == {(40, 4), (4, 4), (4, 3)}
    assert recurrent_weights(model) == config.target_parameters
    assert lora_config(LSTM.build("Model")).task_type == "FEATURE_EXTRACTION"
    assert recurrent_weights(GRU.build("Model", num_hidden_layers=1)) == [
        "layers.0.weight_ih_l0",
        "layers.0.weight_hh_l0",
    ]
    config = lora_config(LSTM.build("ForCausalLM"))
    assert (config.task_type, config.modules_to_save) == ("CAUSAL_LM", None)
    with pytest.raises(ValueError, match="`model` is a Linear, no model of hf_lstm"):
        lora_config(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("checkpointing", [None, {"use_reentrant": False}, {"use_reentrant": True}], ids=str)
@each_family
def test_a_recurrent_layer_may_be_trained_as_a_whole(family, checkpointing, tmp_path):
    """As those that begin at random above a pretrained encoder, which has LoRA."""
    base, ids = tagger(family).eval(), random_ids(3)
    twin, before = copy.deepcopy(base), answer(base, ids).logits
    named = {"target_modules": ["embed_tokens"], "modules_to_save": ["model.layers.0", "model.layers.1"]}
    model = peft.get_peft_model(base.requires_grad_(True), peft.LoraConfig(r=2, task_type="TOKEN_CLS", **named))
    assert_close(model(ids).logits, before)
    if checkpointing:
        model.gradient_checkpointing_enable(checkpointing)
    inputs = {"input_ids": ids, "labels": ids % 5}
    train(model, inputs, 3)
    model.eval().gradient_checkpointing_disable()
    after = model(ids).logits
    assert not torch.allclose(after, before, atol=1e-2)
    with model.disable_adapter():
        assert_close(model(ids).logits, before)
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(twin, tmp_path).eval()
    assert_close(loaded(ids).logits, after)
    assert_close(loaded.merge_and_unload()(ids).logits, after)


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"Adapters need peft: `pip install peft`"):
        lora_config(LSTM.build("ForCausalLM"))


OTHER_METHODS = {
    "IA3, outputs": peft.IA3Config(target_modules=["projection"], feedforward_modules=[]),
    "IA3, inputs": peft.IA3Config(target_modules=["projection"], feedforward_modules=["projection"]),
    "LoHa": peft.LoHaConfig(target_modules=["projection"], r=2),
    "LoKr": peft.LoKrConfig(target_modules=["projection"], r=2),
    "VeRA": peft.VeraConfig(target_modules=["projection"], r=2),
    "LoRA on a linear layer": peft.LoraConfig(target_modules=["projection"], r=2),
    "LoRA on all linear layers": peft.LoraConfig(target_modules="all-linear", r=2),
    "LoRA on both": peft.LoraConfig(target_modules=["projection"], target_parameters=["layers.0.weight_hh_l0"], r=2),
    "LoRA on embeddings": peft.LoraConfig(target_modules=["embed_tokens"], r=2),
    "LoRA on an output layer": peft.LoraConfig(target_modules=["lm_head"], r=2),
    "LayerNorm": peft.LNTuningConfig(target_modules=["norms.0", "norms.1"]),
    "tokens": peft.TrainableTokensConfig(target_modules=["embed_tokens"], token_indices=[3, 4]),
}


@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")  # peft, of LayerNorm in its own LNTuning
@pytest.mark.parametrize("method", OTHER_METHODS)
def test_other_methods(method):
    """They learn, write the same with the state and without, and merge."""
    config = copy.deepcopy(OTHER_METHODS[method])
    config.task_type = "CAUSAL_LM"
    tied = method not in ("LoRA on embeddings", "LoRA on an output layer", "tokens")
    fields = {} if tied else {"tie_word_embeddings": False}
    base, ids = LSTM.build("ForCausalLM", layer_norm=True, embedding_dropout=0.1, **fields), random_ids()
    ids[:, 2] = 3  # among the tokens that are trained
    before = base(ids, labels=ids).loss.item()
    model = peft.get_peft_model(base, config)
    assert train(model, {"input_ids": ids, "labels": ids}, 20) < before - 0.02
    options = {"max_new_tokens": 8, "do_sample": False}
    written = model.generate(input_ids=ids, **options)
    assert torch.equal(model.generate(input_ids=ids, use_cache=False, **options), written)
    with torch.no_grad():
        table = base.get_input_embeddings()
        assert_close(model(inputs_embeds=table(ids)).logits, model(input_ids=ids).logits)
        logits = model(input_ids=ids).logits
        merged = model.merge_and_unload()
        assert_close(merged(ids).logits, logits)
    assert torch.equal(merged.generate(ids, **options), written)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (peft.IA3Config(target_modules=["layers.0"], feedforward_modules=[]), "LSTMLayer.* is not supported"),
        (peft.LoraConfig(target_modules=["layers.0"]), "LSTMLayer.* is not supported"),
        (peft.LoraConfig(target_parameters=["layers.0.weight_hh_l0"], lora_dropout=0.1), "lora_dropout"),
        (
            peft.LoraConfig(target_parameters=["layers.0.bias_hh_l0"]),
            "1 dimensional|index out of range",
        ),
        (peft.AdaptionPromptConfig(adapter_len=2, adapter_layers=1), "Unsupported model type"),
    ],
    ids=["IA3", "LoRA on the module", "dropout", "bias", "adaption prompt"],
)
def test_peft_refuses(config, message):
    """As the table in `peft.py` says."""
    config = copy.deepcopy(config)
    config.task_type = "CAUSAL_LM"
    with pytest.raises((ValueError, IndexError), match=message):
        peft.get_peft_model(LSTM.build("ForCausalLM"), config)


WITHOUT_EFFECT = {
    "lm_head.head": ({}, UNTIED_ADAPTIVE),
    "lm_head.tail.0.1": ({}, UNTIED_ADAPTIVE),
    "lm_head.clusters": ({}, ADAPTIVE),
    "lm_head": ({}, ADAPTIVE),
    "lm_head ": ({}, MIXTURE),
    "char_encoder.embed_chars": ({"char_ids": 4}, {"char_vocab_size": 9}),
    "char_encoder.convolution": ({"char_ids": 4}, {"char_vocab_size": 9}),
}


@pytest.mark.parametrize("module", WITHOUT_EFFECT)
def test_an_adapter_that_would_have_no_effect_is_refused(module):
    """The model reads these weights as they are."""
    sizes, fields = WITHOUT_EFFECT[module]
    base = LSTM.build("ForTokenClassification" if sizes else "ForCausalLM", **fields)
    inputs = {name: torch.ones(3, 7, size, dtype=torch.long) for name, size in sizes.items()}
    base(random_ids(), **inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft, of what is tied
        model = peft.get_peft_model(base, peft.LoraConfig(target_modules=[module.strip()]))
    with pytest.raises(ValueError, match=f"`target_modules` of an adapter names `{module.strip()}`"):
        model(input_ids=random_ids(), **inputs)


@pytest.mark.parametrize("kind", [peft.PromptTuningConfig, peft.PromptEncoderConfig])
def test_prompt_tuning(kind):
    """Virtual tokens before the text: what follows is what follows their embeddings, and they learn."""
    sizes = {"num_layers": 2, "num_attention_heads": 1, "token_dim": 6}  # by which peft builds its table
    base, ids = LSTM.build("ForCausalLM"), random_ids()
    options = {"max_new_tokens": 8, "do_sample": False}
    before = base(ids, labels=ids).loss.item()
    model = peft.get_peft_model(base, kind(num_virtual_tokens=3, task_type="CAUSAL_LM", **sizes)).eval()
    assert train(model, {"input_ids": ids, "labels": ids}) < before - 0.05
    with torch.no_grad():
        embeddings = torch.cat([model.get_prompt(len(ids)), base.get_input_embeddings()(ids)], dim=1)
        assert_close(model(input_ids=ids).logits, base(inputs_embeds=embeddings).logits)
        mask = torch.tensor(MASKS["left"])
        whole = torch.cat([torch.ones(3, 3), mask], dim=1).long()  # peft makes it of floating-point numbers
        expected = base(inputs_embeds=embeddings, attention_mask=whole).logits
        assert_close(model(input_ids=ids, attention_mask=mask).logits, expected)
        written = model.generate(input_ids=ids, attention_mask=mask, **options)
        assert torch.equal(base.generate(inputs_embeds=embeddings, attention_mask=whole, **options), written[:, 7:])
    written = model.generate(input_ids=ids, **options)
    assert torch.equal(model.generate(input_ids=ids, use_cache=False, **options), written)
    assert torch.equal(base.generate(inputs_embeds=embeddings, **options), written[:, 7:])


def test_prefix_tuning_is_refused():
    sizes = {"num_layers": 2, "num_attention_heads": 1, "token_dim": 6}
    config = peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM", **sizes)
    model = peft.get_peft_model(LSTM.build("ForCausalLM"), config)
    with pytest.raises(ValueError, match="a recurrent model keeps a state, no keys and values"):
        model(input_ids=random_ids())


# An encoder with a decoder.


PAIRS = {
    "whole": {"target": {"tie_word_embeddings": False}},
    "fed": {"encoder": GRU, "input_feeding": True, "attention": "additive", "target": {"tie_word_embeddings": False}},
}
each_pair = pytest.mark.parametrize("fields", PAIRS.values(), ids=PAIRS)


@each_pair
def test_an_encoder_decoder_is_adapted_saved_and_merged(fields, tmp_path):
    """On the recurrent weights of both parts, and on the linear layers of the attention and the output."""
    base, (source, labels) = encoder_decoder(**fields), (random_ids(3, 5, 23), random_ids())
    with torch.no_grad():
        before = base(source, labels=labels).logits
    config = lora_config(base, 2, target_modules=["key", "readout", "bridge", "lm_head"], init_lora_weights=False)
    assert config.task_type == "SEQ_2_SEQ_LM" and len(config.target_parameters) == 2 * 1 + 2 * 2 + 2
    model = peft.get_peft_model(base, config)
    assert type(model) is peft.PeftModelForSeq2SeqLM
    options = {"max_new_tokens": 8, "do_sample": False}
    with torch.no_grad():
        adapted = model.eval()(input_ids=source, labels=labels).logits
    assert (adapted - before).abs().max() > 0.1
    model.train()(input_ids=source, labels=labels).loss.backward()
    assert all((p.grad is not None and p.grad.any()) == p.requires_grad for p in model.parameters())
    model.eval()
    written = [model.generate(input_ids=source, num_beams=beams, **options) for beams in (1, 3)]
    for beams, expected in zip((1, 3), written, strict=True):
        again = model.generate(input_ids=source, num_beams=beams, use_cache=False, **options)
        assert torch.equal(again, expected)
    model.save_pretrained(tmp_path)
    other = encoder_decoder(**fields)
    other.load_state_dict(
        {name.replace(".base_layer", ""): p for name, p in base.state_dict().items() if "lora" not in name}
    )
    loaded = peft.PeftModel.from_pretrained(other, tmp_path).eval()
    with torch.no_grad():
        assert_close(loaded(input_ids=source, labels=labels).logits, adapted)
        merged = model.merge_and_unload()
        assert type(merged) is type(encoder_decoder()) and merged._has_plain_steps()
        assert_close(merged(source, labels=labels).logits, adapted)
    for beams, expected in zip((1, 3), written, strict=True):
        assert torch.equal(merged.generate(source, num_beams=beams, **options), expected)


@each_pair
def test_a_trainer_adapts_an_encoder_decoder(fields, tmp_path):
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, default_data_collator

    base = encoder_decoder(**fields, label_smoothing=0.1)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_2_SEQ_LM", target_modules=["readout", "key"]))
    rows = [{"input_ids": row, "labels": row % 20 + 4} for row in random_ids(8, 5, 23)]
    before = {name: p.clone() for name, p in model.named_parameters()}
    arguments = Seq2SeqTrainingArguments(
        tmp_path, **PLAIN_TRAINING, max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2
    )
    trainer = Seq2SeqTrainer(model, arguments, train_dataset=rows, data_collator=default_data_collator)
    trainer.train()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
