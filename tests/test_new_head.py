# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A new head is one class, and nothing else: a file with the class below is put into a copy of the package. The contract
suite runs on it, it trains, saves, goes to ONNX and through a pipeline, and loads where hf_lstm is not installed.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from processes import environment

import hf_lstm


TESTS = Path(__file__).parent
HEAD = '''
"""A head of its own: labels of tokens from the hyperbolic tangent of the outputs."""

import torch.nn.functional as F
from torch import nn
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.utils import can_return_tuple

from .classification import RecurrentClassifier
from .modeling_lstm import LSTMModel, LSTMPreTrainedModel
from .pretrained import refuse_unknown
from .text_inputs import TextInputs, takes_text


class LSTMForToy(LSTMPreTrainedModel, RecurrentClassifier):
    """A linear layer on tanh(h)."""

    _auto_class = "AutoModelForTokenClassification"
    pipeline_task = "token-classification"
    model_class = LSTMModel
    head_parts = ("toy",)

    def __init__(self, config):
        super().__init__(config)
        self.toy = nn.Linear(self.config.output_size, self.config.num_labels)
        self.post_init()

    @can_return_tuple
    @takes_text
    def forward(self, text: TextInputs, labels=None, output_hidden_states=None, **kwargs):
        refuse_unknown(kwargs)
        features, hidden_states, _ = self._encode(text, output_hidden_states)
        logits = self.toy(features.tanh())
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(loss=loss, logits=logits, hidden_states=hidden_states)

    def onnx_outputs(self, graph, hidden_states, packing):
        logits = graph.linear(graph.Tanh(hidden_states), self.toy)
        return {"logits": graph.output(packing.unpack(logits), "B", "T", self.num_labels)}
'''
# The contract suite takes its heads from `families`.
PLUGIN = """
import pytest
import families
import hf_lstm
from hf_lstm.models.modeling_toy import LSTMForToy

hf_lstm.LSTMForToy = LSTMForToy
families.each_head = pytest.mark.parametrize("head", ["ForToy"])
"""
# Training, saving, ONNX and the pipeline, where hf_lstm is installed.
AT_HOME = """
import json, sys
import torch
from transformers import Trainer, TrainingArguments, pipeline
from hf_lstm import LSTMConfig, LSTMTokenizer
from hf_lstm.evaluation.diagnostics import gradient_flow
from hf_lstm.interop.onnx import export_onnx
from hf_lstm.interop.peft import lora_config
from hf_lstm.models.modeling_toy import LSTMForToy
from hf_lstm.training.transfer import layer_groups

texts = ["the cat sat", "a dog"]
tokenizer = LSTMTokenizer.train_from_iterator(texts, "word", show_progress=False)
model = LSTMForToy(LSTMConfig(vocab_size=len(tokenizer), hidden_size=8, bidirectional=True, pad_token_id=0))
rows = [{"input_ids": tokenizer("the cat sat").input_ids, "labels": [0, 1, 1]}] * 8
quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
arguments = TrainingArguments("out", max_steps=2, use_cpu=True, **quiet)
before = model.toy.weight.clone()
Trainer(model, arguments, train_dataset=rows).train()
assert not torch.equal(model.toy.weight, before)
model.eval()
model.save_pretrained("saved")
tokenizer.save_pretrained("saved")
export_onnx(model, "onnx/model.onnx", tolerance=1e-5)  # which compares the two
assert lora_config(model).modules_to_save == ["toy"] and len(layer_groups(model)) == 3
assert gradient_flow(model, torch.tensor([[3, 4, 5]])).norms.shape == (1, 2, 3)
assert "pipeline_tag: token-classification" in open("saved/README.md").read()
found = pipeline("token-classification", model, tokenizer=tokenizer)(texts[0])
json.dump(found, open("home.json", "w"), default=float)
"""
ELSEWHERE = """
import json, sys
from without_package import NotInstalled
sys.meta_path.insert(0, NotInstalled())
from transformers import AutoModelForTokenClassification, pipeline

model = AutoModelForTokenClassification.from_pretrained("./saved", trust_remote_code=True)
assert type(model).__name__ == "LSTMForToy"
found = pipeline("token-classification", "./saved", trust_remote_code=True)("the cat sat")
json.dump(found, open("elsewhere.json", "w"), default=float)
assert not [name for name in sys.modules if name.split(".")[0] == "hf_lstm"]
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the package with the new file in its room."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(Path(hf_lstm.__file__).parent, folder / "hf_lstm", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "hf_lstm" / "models" / "modeling_toy.py").write_text(HEAD.lstrip())
    (folder / "toy_plugin.py").write_text(PLUGIN)
    return folder


def run(house: Path, *command: str, package: bool = True) -> str:
    where = environment(house / "home", *([house, TESTS] if package else [TESTS]))
    done = subprocess.run([sys.executable, *command], cwd=house, env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_one_class_is_all(house):
    run(house, "-c", textwrap.dedent(AT_HOME))
    run(house, "-c", textwrap.dedent(ELSEWHERE), package=False)
    home, elsewhere = (json.loads((house / f"{name}.json").read_text()) for name in ("home", "elsewhere"))
    assert home and home == elsewhere
    files = {file.name for file in (house / "saved").glob("*.py")}
    assert "modeling_toy.py" in files and not {"modeling_gru.py", "gru.py", "rnn.py"} & files
    auto_map = json.loads((house / "saved" / "config.json").read_text())["auto_map"]
    assert auto_map == {
        "AutoConfig": "configuration_lstm.LSTMConfig",
        "AutoModelForTokenClassification": "modeling_toy.LSTMForToy",
    }


@pytest.mark.slow
def test_the_contract_suite_runs_on_it(house):
    suite = str(TESTS / "test_contract.py")
    selected = "LSTM and ForToy"
    out = run(house, "-m", "pytest", "-q", "-p", "toy_plugin", "-p", "no:cacheprovider", "-k", selected, suite)
    assert int(out.rsplit(" passed", 1)[0].split()[-1]) > 20 and "failed" not in out
