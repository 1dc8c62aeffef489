# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A card says what was measured and nothing else: the Hub's own code reads it, and its snippets run in both ways."""

import ast
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from families import GRU, LSTM, RNN
from hub_cards import card_errors
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from processes import ROOT, environment
from transformers import TrainingArguments, ViTConfig

import hf_lstm
from hf_lstm import LSTMTokenizer, RecurrentEncoderDecoderConfig
from hf_lstm.evaluation.reports import entity_report, tagging_scores, token_report
from hf_lstm.hub.cards import Measurement, TrainingData, write_model_card
from hf_lstm.hub.measurements import tagging_measurements, tagging_reports
from hf_lstm.training.arguments import TaggedArguments, TaggerArguments, TextArguments


SPEC = importlib.util.spec_from_file_location("cards_of_benchmarks", ROOT / "benchmarks" / "cards.py")
ours = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ours)

CARDS = ROOT / "model_cards"
CHECKED_IN = sorted(file for file in CARDS.glob("*.md") if file.name not in ("README.md", "TEMPLATE.md"))
TEXTS = ["John lives in Paris .", "the cat sat on the mat"]
EXAMPLE = 'John said "the cat"'
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
REFERENCES, PREDICTIONS = [["B-PER", "O", "O", "B-LOC"]], [["B-PER", "O", "O", "O"]]


class Composed:
    """In place of a `Family`: an encoder of one and a decoder of another."""

    def build(self, head: str, **fields):
        config = RecurrentEncoderDecoderConfig(encoder=GRU.config(**fields), decoder=LSTM.config(**fields))
        return getattr(hf_lstm, f"{self}{head}")(config).eval()

    def __str__(self):
        return "RecurrentEncoderDecoder"


KINDS = {
    "text-generation": (GRU, "ForCausalLM", {}),
    "text-classification": (RNN, "ForSequenceClassification", {"id2label": {0: "bad", 1: "good"}}),
    "token-classification": (LSTM, "ForTokenClassification", {"id2label": dict(enumerate(TAGS)), "use_crf": True}),
    "translation": (Composed(), "ForConditionalGeneration", {}),
}
SCALARS = (str, int, float, bool)
PLACEHOLDERS = r"\{\{ |\{%|\[\[|(?i:more information needed)|TODO|\bNone\b|\bnan\b"
MAYBE = {"language", "license", "base_model", "datasets", "metrics", "widget", "model-index"}
ALWAYS = {"library_name", "pipeline_tag", "tags"}

each_task = pytest.mark.parametrize("task", KINDS)


def make(folder: Path, task: str):
    """A small model of random weights for `task`, and its tokenizer, saved in `folder`."""
    family, head, fields = KINDS[task]
    tokenizer = LSTMTokenizer.train_from_iterator(TEXTS, "word", vocab_size=100, show_progress=False)
    names = ("pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id")
    ids = {name: getattr(tokenizer, name) for name in names}
    if "id2label" in fields:
        fields = fields | {"label2id": {label: i for i, label in fields["id2label"].items()}}
    model = family.build(head, vocab_size=len(tokenizer), **ids, **fields)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


DATA = TrainingData(
    "Toy sentences",
    {"train": {"sentences": 14041, "tokens": 203621}, "test": {"sentences": 3453}},
    hub_id="acme/toy",
    config="plain",
    revision="0123abc",
    license="cc0-1.0",
    description="Written for this test.",
    citation="Doe (2020). Toys.",
)
RESULTS = [
    Measurement("f1", np.float32(0.87654321), "test", "F1 of entities", over_seeds=[0.87, 0.88, 0.89]),
    Measurement("accuracy", 1, "test"),
    Measurement("perplexity", 1234.5678, "validation"),
    Measurement("f1", 0.1234, "test", "F1 of entities", of="most frequent tag"),
]


WITHOUT_EFFECT = {"use_cpu": True, "report_to": "none", "logging_steps": 3, "dataloader_num_workers": 2}


def write_full(folder: Path, task: str, **changes) -> ModelCard:
    model, tokenizer = make(folder, task)
    model.config.use_cache = False  # as in Trainer
    model.half()  # after saving
    arguments = {
        "tokenizer": tokenizer,
        "data": DATA,
        "results": RESULTS,
        "reports": {"Entities of the test split": entity_report(REFERENCES, PREDICTIONS)},
        "name": "toy model",
        "repo_id": "acme/toy-model",
        "language": ["en", "de"],
        "license": "apache-2.0",
        "base_model": "acme/older",
        "tags": ["ner"],
        "example": EXAMPLE,
        "training_args": TrainingArguments(
            str(folder / "run"), learning_rate=8e-3, num_train_epochs=7, **WITHOUT_EFFECT
        ),
        "procedure": "The best of seven epochs.",
        "command": "python examples/train.py --seed 1",
        "seconds": 1234.4,
        "device": "one thread of a CPU",
        "limitations": ["It knows two sentences."],
    }
    return write_model_card(folder, model=model, **(arguments | changes))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """For each task, a saved model with a card that has every part."""
    root = tmp_path_factory.mktemp("cards")
    for task in KINDS:
        write_full(root / task, task)
    return root


def snippets(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def section(text: str, title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text."""
    lines = (line[1:-1].split(" | ") for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]


def of_plain_types(value) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and of_plain_types(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(of_plain_types, value))
    return type(value) in SCALARS


def shown(table: list[list[str]], result: EvalResult) -> bool:
    """Whether a row names the metric and the split, and shows the value rounded to the digits that it has."""
    for row in table:
        if {result.metric_name or result.metric_type, result.dataset_split} <= set(row):
            numbers = [cell.replace(",", "") for cell in row if re.fullmatch(r"-?[\d,]+(\.\d+)?", cell)]
            if any(f"{result.metric_value:.{len(n.partition('.')[2])}f}" == n for n in numbers):
                return True
    return False


def problems(path: Path, with_code: bool = True) -> list[str]:
    """What is wrong with a card, by everything that can be known without the network."""
    found, text = [], path.read_text(encoding="utf-8")
    card = ModelCard.load(path)
    header = yaml.safe_load(text.split("---\n")[1])
    if not ALWAYS <= header.keys() <= ALWAYS | MAYBE:
        found.append(f"keys {sorted(header)}")
    if not of_plain_types(header):
        found.append("a value of the header is neither text nor number")
    if header.get("library_name") != "transformers" or header.get("pipeline_tag") not in KINDS:
        found.append("the Hub would show no snippet")
    if not {"hf_lstm", "custom_code"} <= set(header.get("tags", ())):
        found.append("tags `hf_lstm` and `custom_code`")
    if card.data.to_dict() != header:
        found.append("the header changes on its way through huggingface_hub")
    if "model-index" in header:
        name, results = model_index_to_eval_results(header["model-index"])
        if eval_results_to_model_index(name, results) != header["model-index"]:
            found.append("the model index changes on its way through huggingface_hub")
        found += [
            f"no row shows {r.metric_type} of {r.dataset_split}"
            for r in results
            if type(r.metric_value) is not float or not shown(rows(section(text, "Results")), r)
        ]
        if {r.metric_type for r in results} != set(header.get("metrics", ())):
            found.append("`metrics` are not those of the model index")
    if left := re.search(PLACEHOLDERS, re.sub(r"`[^`\n]*`", "", text)):
        found.append(f"placeholder {left[0]!r}")
    usage, parsed = snippets(section(text, "How to use it")), [ast.parse(code) for code in snippets(text)]
    if text.count("```") % 2 or len(usage) != 2:
        found.append("not two snippets of Python")
    trusting = [bool("trust_remote_code=True" in ast.unparse(code)) for code in parsed[:2]]
    if trusting != [False, True] or "import hf_lstm" not in usage[0]:
        found.append("a snippet with the package and one that trusts the repository")
    if with_code != any(row[0].startswith("`modeling_") for row in rows(text)):
        found.append("the code of a folder is not listed, or it is of another folder")
    return found + card_errors(text, "model")[0]


@pytest.mark.parametrize("path", CHECKED_IN, ids=lambda path: path.stem)
def test_checked_in_card_is_valid(path):
    """And says all that is known, for the Hub too: see `benchmarks/cards.py`."""
    assert problems(path, with_code=False) == []
    text = path.read_text(encoding="utf-8")
    assert ours.described(path.stem, text) == text
    header = ModelCard(text).data
    assert header.language and header.license and header.metrics and header.eval_results
    assert header.datasets or path.stem in ("r8", "resume_ner")  # which the Hub does not have
    assert header.get("widget") or path.stem in ours.WITHOUT_TOKENIZER
    assert f'"hf-lstm/{path.stem}"' in text and "## Files and code" in text
    (accuracy, *_) = [row[2] for row in rows(section(text, "Results")) if row[0] == "Accuracy"] or [None]
    below = re.findall(r"^accuracy: ([\d.]+)$", text, flags=re.M)
    assert below in ([], [accuracy]), "two accuracies that differ have different names"


def test_every_card_is_described():
    assert {file.stem for file in CHECKED_IN} == set(ours.CARDS)


@each_task
def test_card_is_valid(folders, task):
    assert problems(folders / task / "README.md") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("library_name: transformers", "library_name: hf_lstm"),
        ("pipeline_tag: token-classification", "pipeline_tag: tagging"),
        ("- custom_code\n", ""),
        ("- hf_lstm\n", "- 2026-01-01\n"),
        ("language:", "languages:"),
        ("value: 1234.5678", "value: 1234.6678"),
        ("value: 1234.5678", "value: about a thousand"),
        ("- perplexity\n", ""),
        ("| 1,234.57 |", "| 1,234.58 |"),
        ("The best of seven epochs.", "[More Information Needed]"),
        ("The best of seven epochs.", "{{ procedure }}"),
        ("The best of seven epochs.", "None"),
        ("```python\nfrom", "```python\nimport hf_lstm\n```\n\n```python\nfrom"),
        (", trust_remote_code=True)", ")"),
        ("import hf_lstm  # noqa: F401", ""),
        ("| `modeling_", "| `"),
    ],
)
def test_broken_card_is_found_out(folders, tmp_path, old, new):
    text = (folders / "token-classification" / "README.md").read_text()
    assert old in text
    (tmp_path / "README.md").write_text(text.replace(old, new))
    assert problems(tmp_path / "README.md")


def test_metadata_are_what_was_handed_in(folders):
    data = ModelCard.load(folders / "token-classification" / "README.md").data
    assert (data.language, data.license, data.datasets) == (["en", "de"], "apache-2.0", ["acme/toy"])
    assert data.metrics == ["f1", "accuracy", "perplexity"]
    assert data.tags == ["hf_lstm", "lstm", "crf", "custom_code", "ner"]
    assert data.widget == [{"text": EXAMPLE}]
    common = {
        "task_type": "token-classification",
        "dataset_type": "acme/toy",
        "dataset_name": "Toy sentences",
        "dataset_config": "plain",
        "dataset_revision": "0123abc",
    }
    assert data.model_name == "toy model"
    assert data.eval_results == [
        EvalResult(
            **common, dataset_split=r.split, metric_type=r.metric, metric_value=float(r.value), metric_name=r.name
        )
        for r in RESULTS[:3]  # the baseline is not a result of the model
    ]


def test_what_the_text_says(folders):
    folder = folders / "token-classification"
    text = (folder / "README.md").read_text()
    weights = (folder / "model.safetensors").stat().st_size
    parameters = hf_lstm.LSTMForTokenClassification.from_pretrained(folder).num_parameters()
    for fact in (
        "an LSTM of 2 layers, 10 units in each of two directions, on token embeddings of size 6, with a linear-chain "
        "CRF over the labels; ",
        "5 labels: `O`, `B-PER`, `I-PER`, `B-LOC`, `I-LOC`",
        f"It has {parameters:,} parameters, {weights / 1000:.1f} kB of float32 weights",
        "`LSTMTokenizer` of kind `word` with 14 tokens",
        "[Toy sentences](https://huggingface.co/datasets/acme/toy), configuration `plain`, revision `0123abc`, "
        "licence `cc0-1.0`.\n\nWritten for this test.",
        "| split | sentences | tokens |\n| --- | --- | --- |\n| train | 14,041 | 203,621 |\n| test | 3,453 |  |",
        "Training began from [acme/older](https://huggingface.co/acme/older).\n\nThe best of seven epochs.",
        "```bash\npython examples/train.py --seed 1\n```",
        f"Training {parameters:,} parameters took 1,234 seconds on one thread of a CPU.",
        "| **toy model** | F1 of entities | test | 0.8765 | 0.8800 ± 0.0100 (3 seeds) |",
        "| most frequent tag | F1 of entities | test | 0.1234 |  |",
        "### Entities of the test split",
        "| LOC | 0.0000 | 0.0000 | 0.0000 | 1 |",
        "## Limits\n\n- It knows two sentences.",
        "- Hochreiter and Schmidhuber (1997)",
        "- Lafferty, McCallum and Pereira (2001)",
        "- Doe (2020). Toys.",
        "Weights are safetensors (`model.safetensors`): data without code.\n",
    ):
        assert fact in text


@pytest.mark.parametrize("longest, limit", [(None, ", max_new_tokens=100"), (20, ", max_new_tokens=100"), (200, "")])
def test_a_translation_has_one_limit(tmp_path, longest, limit):
    """Of two `generate` warns; but 20 is nobody's choice, see docs/traps.md."""
    model, _ = make(tmp_path, "translation")
    model.generation_config.max_length = longest
    text = write_model_card(tmp_path, model=model, data=DATA, example=EXAMPLE).text
    assert text.count(f"output = model.generate(**inputs{limit})\n") == 2
    assert snippets(ours.with_example(text, "translation", EXAMPLE)) == snippets(text)


def test_what_the_text_says_of_a_model_of_two(folders):
    text = (folders / "translation" / "README.md").read_text()
    for fact in (
        "`RecurrentEncoderDecoderForConditionalGeneration` for translation, trained on Toy sentences",
        "a model whose encoder is a gated recurrent unit network (GRU) of 2 layers, 10 units in each of two "
        "directions, on token embeddings of size 6; whose decoder is an LSTM of 2 layers, 10 units, on token "
        "embeddings of size 6; with scaled dot attention of 1 head.",
        "| `encoder.hidden_size` | `10` |",
        "| `decoder.num_hidden_layers` | `2` |",
        "- recurrent_encoder_decoder\n- gru\n- lstm\n- custom_code\n",
        *("- Sutskever", "- Vaswani", "- Cho et al.", "- Hochreiter"),
    ):
        assert fact in text


@pytest.mark.parametrize("attention", ["general", "additive"])
def test_card_of_another_encoder(tmp_path, attention):
    """The encoder is not ours, and needs a picture: nothing is said of how to call it."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    encoder = ViTConfig(image_size=16, patch_size=8, **sizes)
    decoder = LSTM.config(output_layer="adaptive", adaptive_cutoffs=[5, 12], tie_word_embeddings=False)
    config = RecurrentEncoderDecoderConfig(encoder=encoder, decoder=decoder, attention=attention)
    model = hf_lstm.RecurrentEncoderDecoderForConditionalGeneration(config)
    model.save_pretrained(tmp_path)
    assert ModelCard.load(tmp_path / "README.md").data.pipeline_tag == "image-to-text"
    card = write_model_card(tmp_path, model=model, data=DATA, example="a picture")
    text = card.text
    assert card.data.pipeline_tag == "image-to-text"
    assert "whose encoder is a network of kind `vit`, 3 layers, 8 units; whose decoder is an LSTM" in text
    assert f"with {attention} attention of 1 head, with an adaptive softmax." in text
    assert {"general": "Luong", "additive": "Bahdanau"}[attention] in section(text, "Citation")
    assert "| `encoder.patch_size` | `8` |" in text
    for code in snippets(text):
        assert "AutoModelForSeq2SeqLM.from_pretrained(" in code and "print" not in code and "torch" not in code


@each_task
def test_examples_are_put_into_cards_without_one(folders, tmp_path, task):
    model, _ = make(tmp_path, task)
    text = write_model_card(tmp_path, model=model, data=DATA, repo_id="acme/toy-model").text
    expected = snippets((folders / task / "README.md").read_text())[:2]
    once = ours.with_example(text, task, EXAMPLE)
    assert snippets(text)[:2] != snippets(once)[:2] == expected and ours.with_example(once, task, EXAMPLE) == once


def test_hyperparameters_are_those_that_differ(folders):
    table = dict(rows(section((folders / "token-classification" / "README.md").read_text(), "Training")))
    assert table.pop("`LSTMConfig`") == table.pop("`TrainingArguments`") == "value"
    assert table == {"---": "---"} | {
        f"`{name}`": f"`{value}`"
        for name, value in {
            "vocab_size": 14,
            "hidden_size": 10,
            "embedding_size": 6,
            "num_hidden_layers": 2,
            "bidirectional": True,
            "initializer": "uniform",
            "initializer_range": 1.0,
            "use_crf": True,
            "pad_token_id": 0,
            "unk_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "num_train_epochs": 7,
            "learning_rate": 0.008,
        }.items()
    }


@each_task
def test_listed_code_is_that_of_the_folder(folders, task):
    table = rows(section((folders / task / "README.md").read_text(), "Files and code"))
    listed = {name.strip("`"): facts for name, *facts in table[2:]}
    assert set(listed) == {file.name for file in (folders / task).glob("*.py")}
    for name, (size, digest, what) in listed.items():
        code = (folders / task / name).read_bytes()
        assert f"{len(code):,}" == size and f"`{hashlib.sha256(code).hexdigest()}`" == digest
        assert what and what in " ".join(code.decode().split())


@each_task
def test_snippet_with_the_package_runs(folders, task, capsys):
    code = snippets((folders / task / "README.md").read_text())[0]
    namespace = {}
    exec(code.replace('"acme/toy-model"', json.dumps(str(folders / task))), namespace)
    model = namespace["model"] if "model" in namespace else namespace["pipe"].model
    assert type(model).__module__.startswith("hf_lstm.")
    printed = capsys.readouterr().out.splitlines()[-1]
    if task == "text-generation":
        assert EXAMPLE.split()[0] in printed
    elif task == "translation":
        assert set(printed.split()) <= set(" ".join(TEXTS).split())
    else:
        labels = {"PER", "LOC", "O"} if task == "token-classification" else {"bad", "good"}
        found = ast.literal_eval(re.sub(r"np\.\w+\(([^)]*)\)", r"\1", printed))
        assert {entity.get("entity_group", entity.get("label")) for entity in found} <= labels


OUT_OF_REACH = """
import sys, without_package
sys.meta_path.insert(0, without_package.NotInstalled())
import torch
torch.set_num_threads(1)
for line in sys.stdin.read().split("\\0"):
    namespace = {}
    exec(line, namespace)
    model = namespace["model"] if "model" in namespace else namespace["pipe"].model
    print("CLASS", type(model).__name__, type(model).__module__)
print("LOADED", [name for name in sys.modules if name.split(".")[0] == "hf_lstm"])
"""


@pytest.mark.slow
def test_snippets_without_the_package_run(folders, tmp_path):
    """In another process, where `import hf_lstm` fails, and from another folder."""
    codes = [snippets((folders / task / "README.md").read_text())[1] for task in KINDS]
    codes = [
        code.replace('"acme/toy-model"', json.dumps(str(folders / task)))
        for code, task in zip(codes, KINDS, strict=True)
    ]
    apart = environment(tmp_path / "home", ROOT / "tests")
    command = [sys.executable, "-c", OUT_OF_REACH]
    run = subprocess.run(
        command, cwd=tmp_path, env=apart, input="\0".join(codes), capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    classes = [line.split() for line in run.stdout.splitlines() if line.startswith("CLASS")]
    assert [name for _, name, _ in classes] == [f"{family}{head}" for family, head, _ in KINDS.values()]
    assert all(module.startswith("transformers_modules.") for *_, module in classes)
    assert "LOADED []" in run.stdout.splitlines()


@each_task
def test_what_is_not_known_is_left_out(tmp_path, task):
    model, _ = make(tmp_path / "tiny", task)
    card = write_model_card(tmp_path / "tiny", model=model, data=TrainingData("Toys"))
    assert problems(tmp_path / "tiny" / "README.md") == []
    assert card.content == (tmp_path / "tiny" / "README.md").read_text()
    assert set(card.data.to_dict()) == ALWAYS
    headings = re.findall(r"^#+ (.*)$", card.text, flags=re.M)
    assert headings == ["tiny", "How to use it", "Files and code", "Data", "Training", "Citation"]
    assert section(card.text, "Data").strip() == "Toys."
    assert '"./tiny"' in snippets(card.text)[0] and "print" not in snippets(card.text)[0]
    for word in ("Its tokenizer", "seconds", "TrainingArguments", "```bash"):
        assert word not in re.sub(r"\| `.*", "", card.text)


def test_template_has_the_parts_of_a_card(folders):
    template = (CARDS / "TEMPLATE.md").read_text()
    card = (folders / "token-classification" / "README.md").read_text()

    def parts(text):
        header = yaml.safe_load(text.split("---\n")[1])
        return set(header), set(header["model-index"][0]["results"][0]), re.findall(r"^## .*$", text, flags=re.M)

    assert parts(template) == parts(card)
    assert [problem for problem in problems(CARDS / "TEMPLATE.md") if problem.startswith("placeholder")]


def test_card_of_a_folder_with_pickles_says_so(tmp_path):
    model, _ = make(tmp_path, "text-generation")
    (tmp_path / "training_args.bin").write_bytes(b"")
    text = write_model_card(tmp_path, model=model, data=DATA).text
    assert "The model needs nothing of `training_args.bin`; to load such a file can run code." in text


def test_card_says_how_characters_are_read(tmp_path):
    fields = {"char_vocab_size": 20, "char_hidden_size": 8, "shape_vocab_size": 5, "projection_size": 4}
    model = LSTM.build("ForTokenClassification", **fields)
    model.save_pretrained(tmp_path)
    text = write_model_card(tmp_path, model=model, data=DATA).text
    for fact in (
        "10 units in each of two directions, projected to 4, on token embeddings of size 6, ",
        ", with 8 features of each token from a convolution over its characters, ",
        ", with embeddings of size 10 of 5 word shapes; ",
        "- Ma and Hovy (2016)",
    ):
        assert fact in text
    assert "CRF over the labels" not in text and "Lafferty, McCallum" not in text


@pytest.mark.parametrize(("sizes", "said"), [([12, 9, 6], "12, 9 and 6"), ([12, 6], "12 and 6"), ([6], "6")])
def test_card_says_the_size_of_each_layer(tmp_path, sizes, said):
    layers = f"{len(sizes)} layers" if len(sizes) > 1 else "1 layer"
    model = LSTM.build("ForCausalLM", hidden_sizes=sizes, hidden_size=sizes[-1], num_hidden_layers=len(sizes))
    model.save_pretrained(tmp_path)
    card = write_model_card(tmp_path, model=model, data=DATA)
    assert f"an LSTM of {layers}, {said} units, on token embeddings of size 6." in card.content
    table = section(card.content, "Training")
    assert f"| `hidden_sizes` | `{sizes}` |" in table and "`hidden_size`" not in table
    assert "`num_hidden_layers`" not in table


@pytest.mark.parametrize(
    ("layer", "authors"), [("adaptive", "Grave et al. (2017)"), ("mixture", "Yang et al. (2018)")]
)
def test_card_says_what_the_output_layer_is(tmp_path, layer, authors):
    model = LSTM.build("ForCausalLM", output_layer=layer)
    model.save_pretrained(tmp_path)
    text = write_model_card(tmp_path, model=model, data=DATA).text
    assert f"of size 6, with a{'n' * (layer == 'adaptive')} {layer} " in text and f"- {authors}" in text


def test_card_says_that_language_models_are_read(tmp_path):
    contexts = [LSTM.config(bidirectional=False).to_dict()] * 2
    model = LSTM.build("ForTokenClassification", context_models=contexts, output_layer="adaptive")
    model.save_pretrained(tmp_path)
    text = write_model_card(tmp_path, model=model, data=DATA).text
    assert ", with the states of two language models of characters, one in each direction, at each token; " in text
    assert "- Akbik, Blythe and Vollgraf (2018)" in text and "`context_models`" not in text
    assert "with an adaptive softmax" not in text and "Grave et al." not in text


def test_card_of_a_tagger_has_types_and_labels(tmp_path):
    """And the accuracy of the first table is that of the last."""
    scores = tagging_scores(REFERENCES, PREDICTIONS)
    text = write_full(
        tmp_path,
        "token-classification",
        results=tagging_measurements(scores, "test"),
        reports=tagging_reports(scores, "test"),
    ).text
    for name, row in (("Entities", "PER"), ("Tokens", "B-PER")):
        assert f"### {name} of the test data\n\n|  | precision" in text
        assert f"| {row} | 1.0000 | 1.0000 | 1.0000 | 1 |" in text
    assert "| Accuracy | test | 0.7500 |" in text and "\naccuracy: 0.7500\n" in text
    assert list(tagging_reports(tagging_scores([["NOUN"]], [["VERB"]]), "test")) == ["Tokens of the test data"]


def test_card_without_a_tokenizer_shows_no_pipeline(tmp_path):
    model = LSTM.build("ForCausalLM")
    model.save_pretrained(tmp_path)
    text = write_model_card(tmp_path, model=model, data=DATA, repo_id=str(tmp_path)).text
    for code in snippets(text):
        assert "pipeline" not in code and "input_ids=" in code
        exec(code, {})


def test_card_names_the_data_of_the_hub(tmp_path):
    splits = {"train": {"rows": 1}}
    data = TaggedArguments(dataset_name="acme/toy", dataset_config_name="plain").training_data(splits)
    assert (data.name, data.hub_id, data.config, data.splits) == ("acme/toy", "acme/toy", "plain", splits)
    assert TaggedArguments(dataset_name=str(tmp_path)).training_data({}).hub_id is None  # a folder
    assert TextArguments(train_file=["a.txt"]).training_data({}).hub_id is None
    assert TaggerArguments(language="en", license="mit").card == {"language": "en", "license": "mit"}


def test_snippet_of_the_readme_runs(tmp_path):
    model, tokenizer = make(tmp_path, "text-generation")
    saved = []
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, seed=7)
    namespace = {
        "trainer": SimpleNamespace(args=arguments, model=model, save_model=lambda: saved.append(1)),
        "tokenizer": tokenizer,
        "train": TEXTS,
        "validation": TEXTS[:1],
        "perplexity": 12.5,
        "seconds": 3.21,
    }
    (code,) = snippets((CARDS / "README.md").read_text())
    exec(code, namespace)
    assert saved and problems(tmp_path / "README.md") == []
    text = (tmp_path / "README.md").read_text()
    for fact in ("| train | 2 |", "| perplexity | validation | 12.50 |", "took 3.2 seconds.", "| `seed` | `7` |"):
        assert fact in text


def test_numbers_of_a_report_that_are_no_rows(tmp_path):
    report = token_report(REFERENCES, PREDICTIONS)
    text = write_full(tmp_path, "token-classification", reports={"Tokens": report}).text
    assert "\n\naccuracy: 0.7500\n" in text and "| B-LOC | 0.0000 |" in text


def test_labels_that_the_pipeline_cannot_join_are_not_joined(tmp_path):
    model = LSTM.build("ForTokenClassification", id2label={0: "NOUN", 1: "VERB"}, label2id={"NOUN": 0, "VERB": 1})
    model.save_pretrained(tmp_path)
    assert "aggregation_strategy" not in write_model_card(tmp_path, model=model, data=DATA).text


def test_cell_keeps_its_place_in_the_table(tmp_path):
    text = write_full(tmp_path, "text-generation", results=[Measurement("f1", 0.5, "a|b\nc")]).text
    assert "| f1 | a\\|b c | 0.5000 |" in text


@pytest.mark.parametrize("url", ["", "https://github.com/user/name"])
def test_address_of_the_project(url, tmp_path, monkeypatch):
    """Without one a card names none; with one it is linked, installed from, and cited."""
    monkeypatch.setattr(hf_lstm, "__url__", url)
    text = write_full(tmp_path, "text-generation").text
    for part in ("[hf_lstm]({})", "(`pip install git+{}`)", "url = {{{}}}"):
        assert (part.format(url) in text) == bool(url)
    assert ("github.com" in text) == bool(url)


def test_refuses_what_it_cannot_vouch_for(tmp_path):
    with pytest.raises(ValueError, match=r"`folder` is '.*', which does not hold a model"):
        write_model_card(tmp_path, model=LSTM.build("ForCausalLM"), data=DATA)
    LSTM.build("ForCausalLM").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds \['LSTMForCausalLM'\], but `model` is a GRUForCausalLM"):
        write_model_card(tmp_path, model=GRU.build("ForCausalLM"), data=DATA)
    backbone = LSTM.build("Model")
    backbone.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="`task` of a LSTMModel is not known"):
        write_model_card(tmp_path, model=backbone, data=DATA)
    assert write_model_card(tmp_path, model=backbone, data=DATA, task="feature-extraction").data.pipeline_tag


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf")])
def test_measurement_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"`value` of 'f1' is .*: give a finite number"):
        Measurement("f1", value, "test")
    with pytest.raises(ValueError, match=r"`over_seeds` of 'f1' is .*: give a finite number"):
        Measurement("f1", 0.5, "test", over_seeds=[0.5, value])


def test_measurement_refuses_a_single_seed():
    with pytest.raises(ValueError, match=r"`over_seeds` of 'f1' is .*, and one value has no spread: give two or more"):
        Measurement("f1", 0.5, "test", over_seeds=[0.5])
