# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A saved folder is complete: it loads, computes the same bits, generates and can be saved again where `hf_lstm` is not
installed; what is pushed to the Hub is that folder. The other process, `without_package.py`, runs once for all tests.
"""

import ast
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import transformers
import without_package
from families import FAMILIES, GRU, LSTM, RNN, SPECIAL, each_family, encoder_decoder
from huggingface_hub import HfApi, RepoUrl
from processes import environment
from safetensors.torch import load_file
from tiny_encoders import save_encoder
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BertConfig,
)
from transformers.dynamic_module_utils import get_relative_import_files, get_relative_imports
from without_package import LONG, PROMPT, TEXTS, answers, labels_of, recorded_warnings, save_all, write_text

import hf_lstm


AUTO_CLASSES = {name: head.__name__.removeprefix("LSTM") for name, head in hf_lstm.LSTMPreTrainedModel.heads().items()}
PACKAGE = Path(hf_lstm.__file__).parent / "models"
TRAVELLING = sorted(file.name for file in PACKAGE.glob("*.py") if file.name != "__init__.py")
MODELS = {f"{family}{head}": (family, auto_class) for family in FAMILIES for auto_class, head in AUTO_CLASSES.items()}

each_model = pytest.mark.parametrize("name", MODELS)


# What the text models of a family are made of. They travel together, since a language model is fine-tuned into a
# classifier where hf_lstm is not installed; a model of another kind brings its own parts, and adds none to these.
PARTS = {
    "cache",
    "classification",
    "config_checks",
    "configuration_recurrent",
    "configuration_stack",
    "context",
    "crf",
    "encoder_options",
    "generation",
    "language_modeling",
    "layers",
    "losses",
    "modeling_recurrent",
    "ngrams",
    "output_layers",
    "padding",
    "piece_alignment",
    "pieces",
    "pretrained",
    "saving",
    "sequence_classification",
    "sequence_labels",
    "stack",
    "tag_folding",
    "text_inputs",
    "text_reader",
    "token_classification",
    "tracing",
}
# What an encoder with a recurrent decoder is made of, of any family: nothing of taggers and classifiers.
PARTS_OF_PAIRS = {
    "attention",
    "beam_search",
    "cache",
    "cells",
    "config_checks",
    "configuration_encoder_decoder",
    "configuration_gru",
    "configuration_lstm",
    "configuration_recurrent",
    "configuration_rnn",
    "configuration_stack",
    "context",
    "decoder",
    "encoder_decoder_generation",
    "encoder_options",
    "family_model",
    "generation",
    "gru",
    "layers",
    "losses",
    "lstm",
    "modeling_encoder_decoder",
    "modeling_recurrent",
    "output_layers",
    "padding",
    "piece_alignment",
    "pieces",
    "pretrained",
    "rnn",
    "saving",
    "stack",
    "text_inputs",
    "text_reader",
    "tracing",
}
# Bytes of code in a folder with a model and its tokenizer, about 7,800 lines. Who loads it has to read it first, or to
# trust it: no more than a person reads in a day. What would go beyond belongs elsewhere.
CEILING, CEILING_OF_PAIRS = 414_000, 415_000


CONFIGURATION = {"config_checks.py", "configuration_recurrent.py", "configuration_stack.py", "encoder_options.py"}


def code_of(family) -> set[str]:
    """The files that a text model of `family` needs."""
    name = family.name.lower()
    return {f"{part}.py" for part in (*PARTS, name, f"configuration_{name}", f"modeling_{name}")}


def files_of(name: str) -> set[str]:
    """The files of a folder in which model `name` and a tokenizer were saved."""
    family, auto_class = MODELS[name]
    files = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    files |= {"tokenization_lstm.py", "characters.py", "words.py"}
    if family.head(AUTO_CLASSES[auto_class]).can_generate():
        files.add("generation_config.json")
    return files | code_of(family)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_equal(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]):
    """Bit for bit."""
    assert actual.keys() == expected.keys()
    different = [name for name, tensor in expected.items() if not torch.equal(actual[name], tensor)]
    assert not different


def make_tokenizer():
    return hf_lstm.LSTMTokenizer.train_from_iterator(TEXTS, "bpe", vocab_size=300, show_progress=False)


def make_model(family, head: str, tokenizer, **fields):
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    defaults = {name: getattr(tokenizer, name) for name in names}
    defaults["bidirectional"] = False  # a folder that every head loads
    return family.build(head, vocab_size=len(tokenizer), **(defaults | fields))


LOADERS_HAVE = {
    "huggingface_hub",
    "numpy",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
} | sys.stdlib_module_names


def broken_rules(file: Path) -> list[str]:
    """What in `file` would not work in a saved folder."""
    broken, found = [], set()
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            broken += [f"imports {a.name}" for a in node.names if a.name.split(".")[0] not in LOADERS_HAVE]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(node.module)
            names = {alias.name for alias in node.names}
            if node.level > 1 or f"{node.module}.py" not in TRAVELLING or "*" in names:
                broken.append(f"imports {names} from {'.' * node.level}{node.module or ''}")
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] not in LOADERS_HAVE:
            broken.append(f"imports from {node.module}")
        elif isinstance(node, ast.Try) and any(isinstance(n, ast.ImportFrom) and n.level for n in ast.walk(node)):
            broken.append("tries a relative import")
        name = getattr(node, "id", getattr(node, "attr", getattr(node, "name", None)))
        if name in ("auto_docstring", "__import__", "import_module"):
            broken.append(f"uses {name}")
    if set(get_relative_imports(file)) != found:  # transformers looks for lines, wherever they stand
        broken.append(f"transformers reads the imports {get_relative_imports(file)}")
    return broken


@pytest.mark.parametrize("file", TRAVELLING)
def test_code_keeps_the_rules(file):
    assert broken_rules(PACKAGE / file) == []


@pytest.mark.parametrize(
    "source",
    [
        "from hf_lstm import LSTMConfig",
        "import hf_lstm.models.modeling_lstm",
        "from . import modeling_lstm",
        "from .. import modeling_lstm",
        "from ..modeling_lstm import LSTMModel",
        "from .data import anything",
        "from .modeling_lstm.part import LSTMModel",
        "from .modeling_lstm import *",
        "import datasets",
        "def late():\n    from evaluate import load",
        "try:\n    from .modeling_lstm import LSTMModel\nexcept ImportError:\n    pass",
        'if True:\n    """\n    from .modeling_lstm import LSTMModel\n    """',
        "from transformers.utils import auto_docstring",
        "import transformers\ntransformers.utils.auto_docstring",
        "import importlib\nimportlib.import_module('hf_lstm')",
    ],
)
def test_rules_can_be_broken(source, tmp_path):
    (tmp_path / "modeling_x.py").write_text(source)
    assert broken_rules(tmp_path / "modeling_x.py")


def test_rules_can_be_kept(tmp_path):
    source = "import math\nfrom torch import nn\nfrom .modeling_lstm import LSTMModel\n# from .data import anything\n"
    (tmp_path / "modeling_x.py").write_text(source)
    assert broken_rules(tmp_path / "modeling_x.py") == []


@each_family
def test_transformers_finds_the_files(family):
    module = f"modeling_{family.name.lower()}.py"
    found = {Path(file).name for file in get_relative_import_files(PACKAGE / module)}
    assert found | {module} == code_of(family)
    needed = get_relative_import_files(PACKAGE / "tokenization_lstm.py")
    assert {Path(file).name for file in needed} == {"characters.py", "piece_alignment.py", "saving.py", "words.py"}


def pairs(tokenizer) -> dict:
    """Models of an encoder and a decoder by the name of their folders."""
    target = {"vocab_size": len(tokenizer), "tie_word_embeddings": False}
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        initializer_range=0.5,
    )
    return {
        "LSTMtoGRU": encoder_decoder(
            LSTM, GRU, source={"vocab_size": len(tokenizer)}, target=target, input_feeding=True
        ),
        "BERTtoRNN": encoder_decoder(bert, RNN, target=target, attention="additive", num_attention_heads=2),
    }


# Models that label what a pretrained encoder reads, if one is named, and one with n-grams beside it.
TAGGER, CLASSIFIER = "token-classification", "text-classification"
LABELLING = {
    "BERTtagger": (LSTM, TAGGER, "bert"),
    "RoBERTatagger": (GRU, TAGGER, "roberta"),
    "BERTclassifier": (RNN, CLASSIFIER, "bert"),
    "RoBERTaclassifier": (LSTM, CLASSIFIER, "roberta"),
    "NgramClassifier": (GRU, CLASSIFIER, None),
}
each_labelling = pytest.mark.parametrize("name", LABELLING)


def labelling(name: str, encoders: Path):
    """A model of `LABELLING` and its tokenizer; the encoder is saved in `encoders`."""
    family, task, kind = LABELLING[name]
    words, fields = {"characters": True, "word_shapes": True, "show_progress": False}, {"ngram_buckets": 50}
    if kind:
        encoder = save_encoder(encoders / name, kind, TEXTS)
        words["encoder_tokenizer"] = AutoTokenizer.from_pretrained(encoder)
        fields = {"embedding_size": 0, "encoder_layers": "mix", "encoder_pooling": "mean", "encoder_stride": 6}
    if task == TAGGER:
        fields |= {"use_crf": True, "id2label": {0: "O", 1: "B-X", 2: "I-X"}}
    tokenizer = hf_lstm.LSTMTokenizer.train_from_iterator(TEXTS, "word", **words)
    sizes = {size: getattr(tokenizer, size) for size in ("char_vocab_size", "shape_vocab_size")}
    config = family.config(vocab_size=len(tokenizer), **sizes, **fields)
    head = family.head("ForTokenClassification" if task == TAGGER else "ForSequenceClassification")
    if kind:
        return head.from_encoder_pretrained(encoder, config).eval(), tokenizer
    model = head(config).eval()
    for values in (model.ngrams.weight, model.ngrams.idf):
        values.uniform_(0.5, 2)
    return model, tokenizer


PAIRS = ("LSTMtoGRU", "BERTtoRNN")
each_of_two_parts = pytest.mark.parametrize("name", PAIRS)


class Journey:
    """Folders saved here, what the models in them computed here, and what the other process made of them."""

    def __init__(self, root: Path):
        torch.manual_seed(0)
        self.root, self.tokenizer = root, make_tokenizer()
        self.expected, self.backbones, self.weights = {}, {}, {}
        for name, (family, auto_class) in MODELS.items():
            model = make_model(family, AUTO_CLASSES[auto_class], self.tokenizer)
            if model.can_generate():
                model.generation_config.repetition_penalty = 1.3
            save_all(root / "saved" / name, model, self.tokenizer)
            self.expected[name] = answers(model, self.tokenizer)
            self.backbones[name] = answers(model.base_model, self.tokenizer)
            self.weights[name] = {key: tensor.clone() for key, tensor in model.base_model.state_dict().items()}
            put_into_hub_cache(root / "saved" / name, root / "home" / "hub", f"acme/{name}")
        for name, model in pairs(self.tokenizer).items():
            save_all(root / "saved" / name, model, self.tokenizer)
            self.expected[name] = answers(model, self.tokenizer)
            put_into_hub_cache(root / "saved" / name, root / "home" / "hub", f"acme/{name}")
        for name in LABELLING:
            save_all(root / "saved" / name, *labelling(name, root / "encoders"))
        save_own(root / "own", "head", self.tokenizer)
        self.reports = self.send()

    def send(self) -> dict:
        (self.root / "results").mkdir()
        plan = {
            "folders": {name: auto_class for name, (_, auto_class) in MODELS.items()}
            | dict.fromkeys(PAIRS, "AutoModelForSeq2SeqLM"),
            "auto_classes": list(AUTO_CLASSES),
            "labelling": {name: task for name, (_, task, _) in LABELLING.items()},
            "num_threads": torch.get_num_threads(),
        }
        (self.root / "plan.json").write_text(json.dumps(plan))
        shutil.copy(without_package.__file__, self.root)
        apart = environment(self.root / "home")
        command = [sys.executable, "without_package.py", str(self.root)]
        run = subprocess.run(command, cwd=self.root, env=apart, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        return json.loads((self.root / "report.json").read_text())

    def report(self, name: str) -> dict:
        report = self.reports[name]
        assert "error" not in report, report["error"]
        return report

    def result(self, name: str, how: str) -> dict[str, torch.Tensor]:
        self.report(name)
        return load_file(self.root / "results" / f"{name}.{how}.safetensors")


def put_into_hub_cache(folder: Path, cache: Path, repo_id: str):
    """Lay `folder` down as the download of a repository."""
    repo, commit = cache / f"models--{repo_id.replace('/', '--')}", "0123456789abcdef" + "0" * 24
    shutil.copytree(folder, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    return Journey(tmp_path_factory.mktemp("journey"))


def test_package_was_out_of_reach(journey):
    assert journey.reports["loaded"] == []


@pytest.mark.parametrize("name", [*MODELS, *PAIRS])
def test_bits_are_the_same(journey, name):
    assert_equal(journey.result(name, "there"), journey.expected[name])


@pytest.mark.parametrize("name", [*MODELS, *PAIRS])
def test_bits_are_the_same_after_saving_from_there(journey, name):
    assert_equal(journey.result(name, "again"), journey.expected[name])


@pytest.mark.parametrize("name", [*MODELS, *PAIRS])
def test_bits_are_the_same_under_a_hub_name(journey, name):
    assert_equal(journey.result(name, "hub"), journey.expected[name])


@each_model
def test_backbone_saved_from_there_travels_alone(journey, name):
    family, _ = MODELS[name]
    assert_equal(journey.result(name, "backbone"), journey.backbones[name])
    files = code_of(family) | {"config.json", "model.safetensors"}  # a README is written at home
    assert set(contents(journey.root / "backbone" / name)) == files


@each_model
def test_every_auto_class_loads_the_backbone(journey, name):
    family, _ = MODELS[name]
    report = journey.report(name)
    assert report["config"] == f"{family}Config"
    for auto_class, head in AUTO_CLASSES.items():
        assert report[auto_class] == f"{family}{head}"
        assert_equal(journey.result(name, f"{auto_class}.weights"), journey.weights[name])


@each_model
def test_tokenizer_travels(journey, name):
    assert journey.report(name)["ids"] == journey.tokenizer(TEXTS)["input_ids"]


@pytest.mark.parametrize("name", [*MODELS, *PAIRS])
def test_loading_there_logs_no_warning(journey, name):
    assert journey.report(name)["warnings"] == []


@each_model
def test_auto_class_builds_a_new_model_there(journey, name):
    assert journey.report(name)["from_config"] == name


@each_of_two_parts
def test_a_model_of_two_parts_is_one_there(journey, name):
    report, own = journey.report(name), "RecurrentEncoderDecoderForConditionalGeneration"
    assert report["config"] == "RecurrentEncoderDecoderConfig"
    assert report["AutoModelForSeq2SeqLM"] == report["from_config"] == own
    assert "trust_remote_code=True" in report["refusal"] and report["ids"] == journey.tokenizer(TEXTS)["input_ids"]


@each_of_two_parts
def test_a_folder_of_two_parts_holds_what_it_needs_and_no_more(journey, name):
    folder = journey.root / "saved" / name
    files = contents(folder)
    code = {f"{part}.py" for part in (*PARTS_OF_PAIRS, "tokenization_lstm", "characters", "words")}
    others = {"README.md", "config.json", "generation_config.json", "model.safetensors"}
    assert set(files) == code | others | {"tokenizer.json", "tokenizer_config.json"}
    assert sum(len(files[file]) for file in code) < CEILING_OF_PAIRS
    assert all(files[file] == (PACKAGE / file).read_bytes() for file in code)
    assert assert_auto_map_is_true(folder) == {
        "AutoConfig": "configuration_encoder_decoder.RecurrentEncoderDecoderConfig",
        "AutoModelForSeq2SeqLM": "modeling_encoder_decoder.RecurrentEncoderDecoderForConditionalGeneration",
    }
    found = {Path(file).name for file in get_relative_import_files(PACKAGE / "modeling_encoder_decoder.py")}
    assert found | {"modeling_encoder_decoder.py"} == {f"{part}.py" for part in PARTS_OF_PAIRS}


@each_of_two_parts
def test_a_folder_of_two_parts_loads_here_again(journey, name):
    journey.report(name)
    own = hf_lstm.RecurrentEncoderDecoderForConditionalGeneration
    for origin in ("saved", "again", "from_hub"):
        for load in (AutoModelForSeq2SeqLM, own):
            with recorded_warnings() as warnings:
                model = load.from_pretrained(journey.root / origin / name)
            assert type(model) is own and warnings == []
            assert_equal(answers(model, journey.tokenizer), journey.expected[name])


@each_labelling
def test_what_reads_an_encoder_or_has_ngrams_says_the_same_there(journey, name):
    """Of a text in windows, too, and with the offsets of words."""
    folder = journey.root / "saved" / name
    said, report, _ = labels_of(folder, LABELLING[name][1])
    assert_equal(journey.result(name, "there"), said)
    assert journey.report(name) == report and report["warnings"] == [] and len(report["found"]) == len(TEXTS) + 1


@each_labelling
def test_a_folder_holds_an_encoder_and_what_cuts_texts_for_it(journey, name):
    family, _, kind = LABELLING[name]
    files = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    files |= {"tokenization_lstm.py", "characters.py", "words.py"} | ({"encoder-tokenizer.json"} if kind else set())
    folder = journey.root / "saved" / name
    assert set(contents(folder)) == files | code_of(family)
    if kind:
        longest = AutoConfig.from_pretrained(folder).encoder_max_length
        assert len(AutoTokenizer.from_pretrained(folder)(LONG)["encoder_ids"]) > longest  # else there are no windows


@each_model
def test_foreign_code_needs_consent(journey, name):
    assert "trust_remote_code=True" in journey.report(name)["refusal"]


@pytest.mark.parametrize(
    ("origin", "name"),
    [*itertools.product(("again", "from_hub"), (*MODELS, *PAIRS)), *(("again", name) for name in LABELLING)],
)
def test_saving_from_there_changes_no_byte(journey, origin, name):
    journey.report(name)
    before, after = contents(journey.root / "saved" / name), contents(journey.root / origin / name)
    del before["README.md"]  # which is written at home
    assert before.keys() == after.keys()
    tokenizer_config = json.loads(before.pop("tokenizer_config.json"))
    assert [file for file in before if before[file] != after[file]] == []
    saved_there = json.loads(after["tokenizer_config.json"])
    how_it_was_loaded = {"is_local", "local_files_only"}  # noted there by transformers, and not read again
    assert {key: saved_there[key] for key in saved_there.keys() - how_it_was_loaded} == tokenizer_config


@each_model
def test_folder_saved_there_loads_here(journey, name):
    journey.report(name)
    family, auto_class = MODELS[name]
    folder = journey.root / "again" / name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer) is hf_lstm.LSTMTokenizer
    model_class = family.head(AUTO_CLASSES[auto_class])
    for load in (getattr(transformers, auto_class), model_class):
        with recorded_warnings() as warnings:
            model = load.from_pretrained(folder)
        assert type(model) is model_class and warnings == []
        assert_equal(answers(model, tokenizer), journey.expected[name])


@pytest.mark.parametrize("name", [name for name, (_, auto_class) in MODELS.items() if "CausalLM" in auto_class])
def test_pipeline_writes_the_same_text(journey, name):
    with recorded_warnings() as warnings:
        text = write_text(str(journey.root / "saved" / name))
    assert warnings == []
    assert text.startswith(PROMPT) and text != PROMPT
    assert journey.report(name)["text"] == text


def assert_auto_map_is_true(folder: Path) -> dict[str, str]:
    """Every class that the configuration in a folder names is defined by code in it."""
    auto_map = json.loads((folder / "config.json").read_text())["auto_map"]
    for reference in auto_map.values():
        module, class_name = reference.split(".")
        assert f"class {class_name}(" in (folder / f"{module}.py").read_text()
    return auto_map


@each_model
def test_folder_holds_what_it_needs_and_no_more(journey, name):
    family, _ = MODELS[name]
    folder = journey.root / "saved" / name
    files = contents(folder)
    assert set(files) == files_of(name)
    assert sum(len(text) for file, text in files.items() if file.endswith(".py")) < CEILING
    for file in files:
        if file.endswith(".py"):
            assert files[file] == (PACKAGE / file).read_bytes()
    assert assert_auto_map_is_true(folder) == {"AutoConfig": f"configuration_{family.name.lower()}.{family}Config"} | {
        auto_class: f"modeling_{family.name.lower()}.{family}{head}" for auto_class, head in AUTO_CLASSES.items()
    }


def test_shards_travel(tmp_path):
    tokenizer = make_tokenizer()
    model = make_model(LSTM, "ForCausalLM", tokenizer)
    model.save_pretrained(tmp_path, max_shard_size="2KB")
    shards = {file.name for file in tmp_path.glob("model[-.]*")}
    assert len(shards) > 2 and all(name.endswith((".safetensors", ".safetensors.index.json")) for name in shards)
    assert_equal(answers(AutoModelForCausalLM.from_pretrained(tmp_path), tokenizer), answers(model, tokenizer))


def test_configuration_alone_carries_its_code(tmp_path):
    RNN.config(nonlinearity="relu").save_pretrained(tmp_path)
    code = {*CONFIGURATION, "configuration_rnn.py"}
    assert set(contents(tmp_path)) == {"config.json", *code}
    assert AutoConfig.from_pretrained(tmp_path).nonlinearity == "relu"


OWN = {
    "head": """
        from hf_lstm import LSTMConfig, LSTMForCausalLM

        class OwnConfig(LSTMConfig):
            sharpness: float = 2.0

        class OwnLM(LSTMForCausalLM):
            config: OwnConfig

            def forward(self, input_ids=None, attention_mask=None, **kwargs):
                outputs = super().forward(input_ids, attention_mask, **kwargs)
                outputs.logits = outputs.logits * self.config.sharpness
                return outputs
    """,
    "layer": """
        from hf_lstm.models.configuration_lstm import LSTMConfig
        from hf_lstm.models.lstm import LSTMLayer
        from hf_lstm.models.modeling_lstm import LSTMForCausalLM, LSTMModel

        class OwnConfig(LSTMConfig):
            sharpness: float = 2.0

        class OwnLayer(LSTMLayer):
            def forward(self, inputs, *args):
                return super().forward(inputs.sin(), *args)

        class OwnBackbone(LSTMModel):
            layer_class = OwnLayer

        class OwnLM(LSTMForCausalLM):
            layer_class, model_class = OwnLayer, OwnBackbone
    """,
}
each_own = pytest.mark.parametrize("what", OWN)


def save_own(folder: Path, what: str, tokenizer):
    """Save, in `folder / what`, a model whose class stands in a file of its own."""
    module = f"modeling_own_{what}"
    folder.mkdir()
    (folder / f"{module}.py").write_text(textwrap.dedent(OWN[what]))
    spec = importlib.util.spec_from_file_location(module, folder / f"{module}.py")
    sys.modules[module] = own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    model = own.OwnLM(own.OwnConfig(vocab_size=len(tokenizer), hidden_size=8, sharpness=0.5, initializer_range=1.0))
    save_all(folder / what, model.eval(), tokenizer)
    return model


@each_own
def test_own_class_is_named_and_carried(what, tmp_path):
    tokenizer = make_tokenizer()
    model = save_own(tmp_path / "own", what, tokenizer)
    folder = tmp_path / "own" / what
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["OwnLM"] and config["sharpness"] == 0.5
    assert config["auto_map"]["AutoModelForCausalLM"] == f"modeling_own_{what}.OwnLM"
    assert config["auto_map"]["AutoConfig"] == f"modeling_own_{what}.OwnConfig"
    assert_equal(answers(type(model).from_pretrained(folder), tokenizer), answers(model, tokenizer))


@each_own
def test_own_class_leaves_a_true_auto_map(what, tmp_path):
    save_own(tmp_path / "own", what, make_tokenizer())
    assert_auto_map_is_true(tmp_path / "own" / what)


def test_class_from_a_notebook_leaves_a_true_auto_map(tmp_path):
    own_class = type("OwnLM", (hf_lstm.LSTMForCausalLM,), {"__module__": "__main__"})
    with recorded_warnings() as warnings:
        own_class(LSTM.config()).save_pretrained(tmp_path)
    assert "defined in __main__" in warnings[0]
    assert_auto_map_is_true(tmp_path)


@each_own
def test_pipeline_accepts_an_own_class(what, tmp_path):
    tokenizer = make_tokenizer()
    model = save_own(tmp_path / "own", what, tokenizer)
    with recorded_warnings() as warnings:
        assert write_text(model, tokenizer=tokenizer).startswith(PROMPT)
    assert warnings == []


OWN_PAIR = """
    from hf_lstm import RecurrentEncoderDecoderConfig, RecurrentEncoderDecoderForConditionalGeneration

    class OwnConfig(RecurrentEncoderDecoderConfig):
        sharpness: float = 2.0

    class OwnTranslator(RecurrentEncoderDecoderForConditionalGeneration):
        config: OwnConfig

        def forward(self, input_ids=None, attention_mask=None, **kwargs):
            outputs = super().forward(input_ids, attention_mask, **kwargs)
            outputs.logits = outputs.logits.roll(1, -1) * self.config.sharpness
            return outputs
"""


def test_own_class_of_two_parts_is_carried_and_obeyed(tmp_path):
    file = tmp_path / "modeling_own_pair.py"
    file.write_text(textwrap.dedent(OWN_PAIR))
    spec = importlib.util.spec_from_file_location("modeling_own_pair", file)
    sys.modules["modeling_own_pair"] = own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(own)
    part = LSTM.config(**SPECIAL, tie_word_embeddings=False)
    model = own.OwnTranslator(own.OwnConfig(encoder=part, decoder=part, sharpness=0.5)).eval()
    model.save_pretrained(tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["architectures"] == ["OwnTranslator"] and config["sharpness"] == 0.5
    assert assert_auto_map_is_true(tmp_path / "folder")["AutoModelForSeq2SeqLM"] == "modeling_own_pair.OwnTranslator"
    loaded = own.OwnTranslator.from_pretrained(tmp_path / "folder")
    source = torch.randint(4, 31, (2, 5))
    for num_beams in (1, 3):
        options = {"num_beams": num_beams, "max_new_tokens": 6, "do_sample": False}
        text = model.generate(source, **options)
        assert torch.equal(loaded.generate(source, **options), text)
        assert torch.equal(model.generate(source, use_cache=False, **options), text)
        plain = hf_lstm.RecurrentEncoderDecoderForConditionalGeneration(model.config).eval()
        plain.load_state_dict(model.state_dict())
        assert not torch.equal(plain.generate(source, **options), text)


def test_own_class_asks_for_the_package_there(journey):
    assert "pip install hf_lstm" in journey.reports["own"]["refusal"]


@each_model
def test_auto_classes_know_the_names(name):
    family, auto_class = MODELS[name]
    config = AutoConfig.for_model(family.name.lower(), vocab_size=20, hidden_size=4)
    assert type(config) is family.config_class and config.vocab_size == 20
    assert type(getattr(transformers, auto_class).from_config(config)) is family.head(AUTO_CLASSES[auto_class])


@each_model
@pytest.mark.parametrize("trust_remote_code", [None, False, True])
def test_installed_code_is_used_for_a_saved_folder(journey, name, trust_remote_code):
    family, auto_class = MODELS[name]
    folder = journey.root / "saved" / name
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    assert type(config) is family.config_class
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=trust_remote_code)
    assert type(model) is family.head(AUTO_CLASSES[auto_class])
    assert_equal(answers(model, journey.tokenizer), journey.expected[name])


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Path:
    """A folder of repositories in place of the Hub's; all above its last two calls is the real code."""

    def create_repo(self, repo_id, *, exist_ok=False, **kwargs):
        (tmp_path / "hub" / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def create_commit(self, repo_id, operations, **kwargs):
        for operation in operations:
            with operation.as_file() as file:
                (tmp_path / "hub" / repo_id / operation.path_in_repo).write_bytes(file.read())

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "create_commit", create_commit)
    return tmp_path / "hub"


@each_model
def test_pushed_is_saved(journey, hub, name):
    _, auto_class = MODELS[name]
    model = getattr(transformers, auto_class).from_pretrained(journey.root / "saved" / name)
    model.push_to_hub("acme/pushed")
    journey.tokenizer.push_to_hub("acme/pushed")
    pushed = contents(hub / "acme" / "pushed")
    saved = contents(journey.root / "saved" / name)
    assert pushed.pop("README.md").startswith(b"---") and saved.pop("README.md")  # each under its own name
    assert pushed == saved


def test_pushed_while_saving(journey, hub, tmp_path):
    model = AutoModel.from_pretrained(journey.root / "saved" / "GRUModel")
    model.save_pretrained(tmp_path / "here", push_to_hub=True, repo_id="acme/pushed")
    assert contents(hub / "acme" / "pushed") == contents(tmp_path / "here")
    assert set(contents(tmp_path / "here")) >= {"config.json", "model.safetensors", "modeling_gru.py"}


def test_pushed_configuration_carries_its_code(hub):
    LSTM.config().push_to_hub("acme/config")
    files = {"README.md", "config.json", "configuration_lstm.py", *CONFIGURATION}
    assert set(contents(hub / "acme" / "config")) == files
