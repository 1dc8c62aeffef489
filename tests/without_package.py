# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Where a saved folder travels to: a process in which `import hf_lstm` fails. `test_travel.py` runs this file there, and
uses its functions at home too, so that both sides compute the same things.
"""

import contextlib
import json
import logging
import sys
import traceback
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Pipeline, pipeline


TEXTS = ["the cat sat", "a dog", "the dog sat on the log"]
PROMPT = "the cat"
LONG = " ".join(TEXTS * 9)  # a tiny encoder has no places for all of it at once


def answers(model, tokenizer) -> dict[str, torch.Tensor]:
    """All that a model computes from a padded batch: outputs, states, generated ids."""
    inputs = tokenizer(TEXTS, padding=True, padding_side="left", return_tensors="pt")
    target = {}
    if model.config.is_encoder_decoder:
        target = {"labels": inputs["input_ids"].flip(0)}
    with torch.no_grad():
        found = {"output": dict(model(**inputs, **target, output_hidden_states=True))}
    if model.can_generate():
        found["greedy"] = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        found["beams"] = model.generate(**inputs, max_new_tokens=6, do_sample=False, num_beams=3)
    return flatten("", found)


def labels_of(folder: Path, task: str, **kwargs) -> tuple[dict[str, torch.Tensor], dict, Pipeline]:
    """What a model in a folder says of a batch in which one text is long, and what its pipeline finds and warns of."""
    with recorded_warnings() as warnings:
        find = pipeline(task, str(folder), **kwargs)
        inputs = find.tokenizer([*TEXTS, LONG], padding=True, return_tensors="pt")
        with torch.no_grad():
            said = flatten("", dict(find.model(**inputs)))
        found = find([*TEXTS, LONG])
    return said, {"found": json.loads(json.dumps(found, default=float)), "warnings": warnings}, find


def flatten(name: str, value) -> dict[str, torch.Tensor]:
    """The tensors in nested outputs and caches, each under its own name."""
    if isinstance(value, torch.Tensor):
        return {name: value.clone(memory_format=torch.contiguous_format)}
    if hasattr(value, "layers"):
        value = [layer.states for layer in value.layers]
    if isinstance(value, (tuple, list)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return {}
    return {key: tensor for k, v in value.items() for key, tensor in flatten(f"{name}.{k}", v).items()}


def save_all(folder: Path, model, tokenizer) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_text(model, **kwargs) -> str:
    """What the pipeline writes after `PROMPT`, with a model or the name of its folder."""
    write = pipeline("text-generation", model=model, **kwargs)
    return write(PROMPT, max_new_tokens=5, min_new_tokens=5, do_sample=False)[0]["generated_text"]


@contextlib.contextmanager
def recorded_warnings():
    """The warnings and errors that transformers, or code that it loaded, logs meanwhile."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    loggers = [logging.getLogger("transformers"), logging.getLogger()]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def visit(root: Path, name: str, own_auto_class: str, auto_classes: list[str]) -> dict:
    """Load one folder in every way, save it again and leave what it computes under `root / "results"`."""
    folder = root / "saved" / name

    def load(auto_class: str, path: Path | str):
        return getattr(transformers, auto_class).from_pretrained(path, trust_remote_code=True)

    def keep(how: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, root / "results" / f"{name}.{how}.safetensors")

    config, tokenizer = load("AutoConfig", folder), load("AutoTokenizer", folder)
    report = {"config": type(config).__name__, "ids": tokenizer(TEXTS)["input_ids"]}
    for auto_class in auto_classes:
        model = load(auto_class, folder)
        keep(f"{auto_class}.weights", model.base_model.state_dict())
        report[auto_class] = type(model).__name__

    with recorded_warnings() as report["warnings"]:
        model = load(own_auto_class, folder)
        keep("there", answers(model, tokenizer))
        save_all(root / "again" / name, model, tokenizer)
        again = load(own_auto_class, root / "again" / name)
        keep("again", answers(again, load("AutoTokenizer", root / "again" / name)))
        if again.base_model is not again or own_auto_class == "AutoModel":
            again.base_model.save_pretrained(root / "backbone" / name)
            keep("backbone", answers(load("AutoModel", root / "backbone" / name), tokenizer))
        if own_auto_class == "AutoModelForCausalLM":
            report["text"] = write_text(str(folder), trust_remote_code=True)

    model, tokenizer = load(own_auto_class, f"acme/{name}"), load("AutoTokenizer", f"acme/{name}")
    keep("hub", answers(model, tokenizer))
    save_all(root / "from_hub" / name, model, tokenizer)
    fresh = getattr(transformers, own_auto_class).from_config(config, trust_remote_code=True)
    report["from_config"] = type(fresh).__name__
    try:
        AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except ValueError as error:
        report["refusal"] = str(error)
    return report


class NotInstalled:
    """Makes `import hf_lstm` fail, wherever the package is."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "hf_lstm":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(root: Path) -> None:
    sys.meta_path.insert(0, NotInstalled())
    plan = json.loads((root / "plan.json").read_text())
    torch.set_num_threads(plan["num_threads"])
    reports = {}
    for name, own_auto_class in plan["folders"].items():
        try:
            of_family = own_auto_class in plan["auto_classes"]  # a model of several parts has one Auto class alone
            reports[name] = visit(root, name, own_auto_class, plan["auto_classes"] if of_family else [own_auto_class])
        except Exception:
            reports[name] = {"error": traceback.format_exc()}
    for name, task in plan["labelling"].items():
        try:
            said, reports[name], find = labels_of(root / "saved" / name, task, trust_remote_code=True)
            save_file(said, root / "results" / f"{name}.there.safetensors")
            save_all(root / "again" / name, find.model, find.tokenizer)
        except Exception:
            reports[name] = {"error": traceback.format_exc()}
    try:
        AutoModelForCausalLM.from_pretrained(root / "own" / "head", trust_remote_code=True)
    except ImportError as error:
        reports["own"] = {"refusal": str(error)}
    reports["loaded"] = [name for name in sys.modules if name.split(".")[0] == "hf_lstm"]
    (root / "report.json").write_text(json.dumps(reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
