# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
To the Hub and back, over HTTP, with the real client: one process pushes, another, without hf_lstm, loads.
The server is `hub_server.py`.
"""

import hashlib
import re

import pytest
from hub_client import Client, ClientError
from hub_server import DROP, TOKEN, Hub
from huggingface_hub import ModelCard


WRITER = """
    import torch
    from huggingface_hub import HfApi, ModelCard
    from transformers import pipeline
    from families import GRU, LSTM, RNN
    from hf_lstm import LSTMConfig, LSTMTokenizer

    torch.manual_seed(0)
    TEXTS = ["John lives in Paris .", "the cat sat on the mat"]
    TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    words = {"characters": True, "word_shapes": True}

    def tokenizer_of(**options):
        return LSTMTokenizer.train_from_iterator(TEXTS, "word", vocab_size=60, show_progress=False, **options)

    def model_of(family, head, tokenizer, labels=(), **fields):
        fields |= {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        if labels:
            names = dict(enumerate(labels))
            fields |= {"id2label": names, "label2id": {name: i for i, name in names.items()}}
        return family.build(head, vocab_size=len(tokenizer), **fields)
"""
READER = """
    import sys, torch
    from huggingface_hub import ModelCard
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    TEXTS = ["John lives in Paris .", "the cat sat on the mat"]
"""
BOTH = """
    def logits(model, tokenizer):
        with torch.no_grad():
            return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.tolist()

    def text_of(model, tokenizer):
        output = model.generate(**tokenizer("the cat", return_tensors="pt"), max_new_tokens=8, do_sample=False)
        return tokenizer.decode(output[0])

    def plain(entities):
        return [{key: round(float(v), 5) if key == "score" else v for key, v in each.items()} for each in entities]
"""
# For each kind of model: how it is made, by what it is loaded, and what is asked of it beside its logits.
KINDS = {
    "lm": (
        'tokenizer = tokenizer_of(); model = model_of(GRU, "ForCausalLM", tokenizer)',
        "AutoModelForCausalLM",
        "text_of(model, tokenizer)",
    ),
    "tagger": (
        """tokenizer = tokenizer_of(**words)
sizes = {"char_vocab_size": tokenizer.char_vocab_size, "shape_vocab_size": tokenizer.shape_vocab_size}
model = model_of(LSTM, "ForTokenClassification", tokenizer, TAGS, use_crf=True, **sizes)""",
        "AutoModelForTokenClassification",
        'plain(pipeline("token-classification", model, tokenizer=tokenizer, aggregation_strategy="simple")(TEXTS[0]))',
    ),
    "classifier": (
        'tokenizer = tokenizer_of(); model = model_of(RNN, "ForSequenceClassification", tokenizer, ["bad", "good"])',
        "AutoModelForSequenceClassification",
        'plain(pipeline("text-classification", model, tokenizer=tokenizer)(TEXTS))',
    ),
}
LOAD = """
    tokenizer = AutoTokenizer.from_pretrained(repo, trust_remote_code=True)
    model = {auto_class}.from_pretrained(repo, trust_remote_code=True)
"""
# A push that is told to break off, and how often the server then sees the weights.
BREAKS = {"upload dropped": ("upload", DROP), "commit refused": ("commit", 500), "commit dropped": ("commit", DROP)}

pytestmark = pytest.mark.slow  # several processes, which `test_travel.py` does once for all heads
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(autouse=True)
def recovered(hub):
    hub.recover()


@pytest.fixture(scope="module")
def writer(hub, tmp_path_factory):
    with Client(tmp_path_factory.mktemp("writer"), hub.endpoint, TOKEN) as writer:
        writer.run(WRITER + BOTH)
        yield writer


@pytest.fixture(scope="module")
def reader(hub, tmp_path_factory):
    with Client(tmp_path_factory.mktemp("reader"), hub.endpoint, without_package=True) as reader:
        reader.run(READER + BOTH)
        yield reader


@pytest.fixture(scope="module")
def pushed(writer):
    """What the writer computed with each model before it pushed it, and its tokenizer, to acme/<kind>."""
    answers = {}
    for kind, (make, _, ask) in KINDS.items():
        writer.run(make)
        answers[kind] = writer.run(f"answer = [logits(model, tokenizer), {ask}]")
        writer.run("model.push_to_hub(repo); tokenizer.push_to_hub(repo)", repo=f"acme/{kind}")
    return answers


def load(reader, kind: str, repo: str, **options) -> None:
    code = LOAD.format(auto_class=KINDS[kind][1])
    reader.run(code.replace("repo,", "repo, **options,"), repo=repo, options=options)


def table(card: str) -> dict[str, tuple[str, str]]:
    """The size and the digest of each file that a card lists."""
    return {name: facts for name, *facts in re.findall(r"^\| `(\w+\.py)` \| ([\d,]+) \| `(\w+)` \|", card, flags=re.M)}


def assert_true(card: str, files: dict[str, bytes], also: set[str] = frozenset()) -> None:
    """The card lists the code of a repository, as it is."""
    code = {name: content for name, content in files.items() if name.endswith(".py")}
    assert code and table(card) == {
        name: [f"{len(content):,}", hashlib.sha256(content).hexdigest()] for name, content in code.items()
    }


@each_kind
def test_model_arrives(hub, pushed, reader, kind):
    start = len(hub.log)
    load(reader, kind, f"acme/{kind}")
    assert reader.run(f"answer = [logits(model, tokenizer), {KINDS[kind][2]}]") == pushed[kind]
    home, loaded = reader.run("answer = [type(model).__module__, [n for n in sys.modules if n.startswith('hf_lstm')]]")
    assert home.startswith("transformers_modules.") and loaded == []
    asked = {entry["path"] for entry in hub.log[start:] if entry["kind"] == "resolve" and entry["method"] == "GET"}
    card = hub.files(f"acme/{kind}")["README.md"].decode()
    assert_true(card, hub.files(f"acme/{kind}"))
    assert {path for path in asked if path.endswith(".py")} == set(table(card))  # no more than that runs, and no less


def test_token_stays_with_the_hub(hub, pushed):
    """Weights lie on another host, to which the token of the user is not sent."""
    stored = [entry for entry in hub.log if entry["kind"] in ("upload", "stored")]
    assert stored and {(entry["host"], entry["token"]) for entry in stored} == {("localhost", None)}


def test_foreign_code_needs_consent(hub, pushed, reader):
    start = len(hub.log)
    with pytest.raises(ClientError, match="trust_remote_code=True"):
        reader.run('AutoModelForCausalLM.from_pretrained("acme/lm", trust_remote_code=False, force_download=True)')
    assert not [entry for entry in hub.log[start:] if entry.get("path", "").endswith(".py")]


def test_revisions(hub, writer, reader):
    """A tag, a branch, a commit and main, each with its own weights."""
    writer.run('tokenizer = tokenizer_of(); repo = "acme/revised"')
    expected = {}
    for revision in ("v1", "trial", "main"):
        options = {"revision": "trial"} if revision == "trial" else {}
        writer.run('model = model_of(LSTM, "ForCausalLM", tokenizer)')
        expected[revision] = writer.run("answer = logits(model, tokenizer)")
        writer.run(
            "model.push_to_hub(repo, **options)\ntokenizer.push_to_hub(repo, **options)",
            options=options,
        )
        if revision == "v1":
            writer.run('HfApi().create_tag(repo, tag="v1")')
    repository = hub.repository("acme/revised")
    assert set(repository.branches) == {"main", "trial"} and len({*map(str, expected.values())}) == 3
    names = {revision: revision for revision in expected} | {repository.tags["v1"]: "v1"}
    for revision, name in names.items():
        load(reader, "lm", "acme/revised", revision=revision)
        assert reader.run("answer = logits(model, tokenizer)") == expected[name]
    with pytest.raises(ClientError, match="v2"):
        load(reader, "lm", "acme/revised", revision="v2")


def test_private_repository_needs_a_token(hub, pushed, writer, reader):
    writer.run(KINDS["classifier"][0])
    writer.run('model.push_to_hub("acme/secret", private=True); tokenizer.push_to_hub("acme/secret")')
    with pytest.raises(ClientError, match="acme/secret"):
        load(reader, "classifier", "acme/secret")
    load(reader, "classifier", "acme/secret", token=TOKEN)
    assert reader.run("answer = logits(model, tokenizer)") == writer.run("answer = logits(model, tokenizer)")


def test_broken_download_goes_on_where_it_was(hub, pushed, writer, reader):
    writer.run(KINDS["classifier"][0])
    writer.run('model.push_to_hub("acme/slow"); tokenizer.push_to_hub("acme/slow")')
    reader.run("from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 64")
    hub.fail("stored", DROP, times=1)
    load(reader, "classifier", "acme/slow")
    ranges = [entry["range"] for entry in hub.log if entry["kind"] == "stored"][-2:]
    assert ranges[0] is None and re.fullmatch(r"bytes=[1-9]\d*-", ranges[1])
    assert reader.run("answer = logits(model, tokenizer)") == writer.run("answer = logits(model, tokenizer)")


@pytest.mark.parametrize("how", BREAKS)
def test_broken_push_leaves_what_was_there(hub, writer, reader, how):
    kind, status = BREAKS[how]
    repo = f"acme/{how.replace(' ', '-')}"
    writer.run('tokenizer = tokenizer_of(); model = model_of(LSTM, "ForCausalLM", tokenizer)')
    writer.run("model.push_to_hub(repo); tokenizer.push_to_hub(repo); old = logits(model, tokenizer)", repo=repo)
    before, files = hub.repository(repo).branches["main"], hub.files(repo)

    writer.run('model = model_of(LSTM, "ForCausalLM", tokenizer)')
    hub.fail(kind, status)
    with pytest.raises(ClientError) as error:
        writer.run("model.push_to_hub(repo)")
    expected = {"upload dropped": "RuntimeError", "commit refused": "HfHubHTTPError"}
    assert error.value.kind == expected.get(how, "RemoteProtocolError")
    assert repr(repo) in error.value.text and "Make the same call again" in error.value.text
    hub.recover()
    assert hub.repository(repo).branches["main"] == before and hub.files(repo) == files
    load(reader, "lm", repo)
    assert reader.run("answer = logits(model, tokenizer)") == writer.run("answer = old")

    uploads = hub.count("upload")
    writer.run("model.push_to_hub(repo)")
    assert hub.count("upload") == uploads + (kind == "upload")  # weights that have arrived are not sent again
    load(reader, "lm", repo)
    assert reader.run("answer = logits(model, tokenizer)") == writer.run("answer = logits(model, tokenizer)")


def test_push_survives_a_short_break(hub, writer):
    writer.run('tokenizer = tokenizer_of(); model = model_of(LSTM, "ForCausalLM", tokenizer)')
    hub.fail("upload", DROP, times=1)
    uploads = hub.count("upload")
    writer.run('model.push_to_hub("acme/short-break")')
    assert hub.count("upload") == uploads + 2 and "model.safetensors" in hub.files("acme/short-break")


def test_broken_push_of_a_tokenizer_says_so(hub, pushed, writer):
    files = hub.files("acme/lm")
    hub.fail("commit", 503)
    with pytest.raises(ClientError, match="'acme/lm' broke off") as error:
        writer.run('LSTMTokenizer.train_from_iterator(["other words"], "word", vocab_size=60).push_to_hub("acme/lm")')
    assert "Make the same call again" in error.value.text and hub.files("acme/lm") == files


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('model.push_to_hub("somebody/else")', "rights to create"),
        ('model.push_to_hub("acme/lm", token="hf_wrong")', "401"),
        ('model.push_to_hub("acme/lm", tags=["ner", 7])', "Invalid metadata"),
    ],
)
def test_refused_push_is_not_to_be_repeated(hub, pushed, writer, call, message):
    before = hub.repository("acme/lm").branches["main"]
    with pytest.raises(ClientError, match=message) as error:
        writer.run(call)
    assert "call again" not in error.value.text and hub.repository("acme/lm").branches["main"] == before


def test_tokenizer_alone(hub, writer, reader):
    writer.run('tokenizer = tokenizer_of(**words); tokenizer.push_to_hub("acme/words")')
    reader.run('tokenizer = AutoTokenizer.from_pretrained("acme/words", trust_remote_code=True)')
    ask = "answer = {name: ids for name, ids in tokenizer(TEXTS).items()}"
    assert reader.run(ask) == writer.run(ask)
    assert reader.run("answer = type(tokenizer).__module__").startswith("transformers_modules.")
    files = hub.files("acme/words")
    assert "More Information Needed" not in files["README.md"].decode()
    assert_true(files["README.md"].decode(), files)


def test_configuration_alone(hub, writer, reader):
    writer.run('LSTMConfig(hidden_size=12, projection_size=3).push_to_hub("acme/config")')
    code = 'config = AutoConfig.from_pretrained("acme/config", trust_remote_code=True); '
    assert reader.run(code + "answer = [type(config).__name__, config.projection_size]") == ["LSTMConfig", 3]


# Cards.


@each_kind
def test_pushed_card_passes_the_validation_of_the_hub(hub, pushed, writer, kind, tmp_path):
    (tmp_path / "README.md").write_bytes(hub.files(f"acme/{kind}")["README.md"])
    assert writer.run("ModelCard.load(path).validate()", path=str(tmp_path / "README.md")) is None
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.tags[:3] == ["hf_lstm", {"lm": "gru", "tagger": "lstm", "classifier": "rnn"}[kind], "custom_code"]


@pytest.mark.parametrize(
    "header",
    [
        "license: my own",
        "language: [english]",
        "pipeline_tag: tagging",
        "datasets: [my data]",
        "tags: [2026]",
        "model-index: [{name: x, results: [{task: {type: text-generation}, metrics: [{type: loss, value: 1}]}]}]",
        "a: b: c",
        "- list",
    ],
)
def test_validation_of_the_hub_is_one(writer, header):
    with pytest.raises(ClientError) as error:
        writer.run(
            "ModelCard(card).validate()" if ":" in header else "HfApi()._validate_yaml(card)",
            card=f"---\n{header}\n---\n",
        )
    assert error.value.kind in ("ValueError", "ScannerError")


def test_card_of_the_hub_is_kept(hub, writer):
    """What somebody wrote there stays when the model is pushed again, but for the table of the code."""
    writer.run('tokenizer = tokenizer_of(); repo = "acme/written"; model = model_of(GRU, "ForCausalLM", tokenizer)')
    writer.run("model.push_to_hub(repo); tokenizer.push_to_hub(repo)")
    writer.run(
        """
        card = ModelCard.load(repo)
        card.text = card.text.replace("# written", "# My own words").replace("1", "7")
        card.data.license = "mit"
        card.push_to_hub(repo)
        """
    )
    before = hub.files("acme/written")["README.md"].decode()
    assert table(before) and not all(
        table(before)[name][0] == f"{len(code):,}"
        for name, code in hub.files("acme/written").items()
        if name.endswith(".py")
    )
    writer.run("model_of(GRU, 'ForSequenceClassification', tokenizer).push_to_hub(repo); tokenizer.push_to_hub(repo)")
    card = hub.files("acme/written")["README.md"].decode()
    assert "# My own words" in card and "license: mit" in card
    assert_true(card, hub.files("acme/written"))
    first, last = (text.index("| `") for text in (before, card))
    assert card[:last] == before[:first] and card.rpartition("<!-- code")[2] == before.rpartition("<!-- code")[2]


def test_card_of_the_folder_is_kept(hub, writer, tmp_path):
    """Transformers writes the card of the Hub, or a form, over the one in a folder that it saves and pushes."""
    folder = tmp_path / "described"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# Described\n\nBy hand.\n")
    writer.run(KINDS["lm"][0])
    writer.run('model.save_pretrained(folder, push_to_hub=True, repo_id="acme/described")', folder=str(folder))
    for card in ((folder / "README.md").read_text(), hub.files("acme/described")["README.md"].decode()):
        assert card == "---\nlicense: mit\n---\n\n# Described\n\nBy hand.\n"


def test_own_form_of_transformers_is_replaced(hub, writer):
    writer.run(KINDS["lm"][0] + '; model.push_to_hub("acme/tagged", tags=["ner"])')
    card = hub.files("acme/tagged")["README.md"].decode()
    assert "More Information Needed" not in card and "# tagged\n" in card
    assert ModelCard(card).data.tags[-1] == "ner"


def test_trainer_pushes_what_it_measured(hub, writer, reader):
    """With checkpoints on the way, each of which loads."""
    writer.run(
        """
        from transformers import DefaultDataCollator, TrainingArguments
        from hf_lstm.training.card_trainer import CardTrainer

        tokenizer = tokenizer_of()
        model = model_of(LSTM, "ForCausalLM", tokenizer)
        rows = [{"input_ids": [4, 5, 6], "labels": [4, 5, 6]}] * 8
        steps = {"max_steps": 2, "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps"}
        quiet = {"report_to": "none", "use_cpu": True, "disable_tqdm": True}
        arguments = TrainingArguments("trained", push_to_hub=True, hub_model_id="acme/trained", **steps, **quiet)
        options = {"data_collator": DefaultDataCollator(), "processing_class": tokenizer}
        trainer = CardTrainer(model, arguments, train_dataset=rows, eval_dataset=rows, **options)
        trainer.train()
        """
    )
    push = 'trainer.push_to_hub(language="en", license="apache-2.0")'
    hub.fail("commit", 502)
    with pytest.raises(ClientError, match="Make the same call again"):
        writer.run(push)
    hub.recover()
    writer.run(push)
    losses = writer.run("answer = [each['eval_loss'] for each in trainer.state.log_history if 'eval_loss' in each]")
    files = hub.files("acme/trained")
    card = files["README.md"].decode()
    assert_true(card, files)
    (result,) = ModelCard(card).data.eval_results
    assert (result.metric_type, result.dataset_split) == ("loss", "evaluation")
    assert result.metric_value == losses[-1] != losses[0]
    assert writer.run(
        "model.eval(); answer = model(torch.tensor([[4, 5, 6]]), labels=torch.tensor([[4, 5, 6]])).loss.item()"
    ) == pytest.approx(losses[-1], rel=1e-5)
    assert f"| loss | evaluation | {losses[-1]:.4f} |" in card and "license: apache-2.0" in card
    load(reader, "lm", "acme/trained")
    assert reader.run("answer = logits(model, tokenizer)") == writer.run("answer = logits(model, tokenizer)")
    repository = hub.repository("acme/trained")
    on_the_way = [sha for sha, commit in repository.commits.items() if commit.title.startswith("Training in progress")]
    assert on_the_way
    for sha in on_the_way:
        load(reader, "lm", "acme/trained", revision=sha)


# Data sets.

TAGGED = [(["Ada", "met", "Bob"], ["B-PER", "O", "B-PER"]), (["in", "Paris"], ["O", "B-LOC"]), (["rain"], ["O"])]
PUSH_DATA = """
    import json
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    names = sorted({tag for _, tags in rows for tag in tags})
    features = Features(words=Sequence(Value("string")), ner_tags=Sequence(ClassLabel(names=names)))
    columns = {"words": [words for words, _ in rows], "ner_tags": [[names.index(t) for t in tags] for _, tags in rows]}
    data = Dataset.from_dict(columns, features=features)
    DatasetDict({"train": data, "validation": data, "test": data}).push_to_hub("acme/entities")
    lines = "".join(json.dumps({"words": words, "ner_tags": tags}) + "\\n" for words, tags in rows)
    texts = "".join(json.dumps({"text": " ".join(words), "label": tags[-1]}) + "\\n" for words, tags in rows)
    for repo, content in (("acme/lines", lines), ("acme/texts", texts)):
        HfApi().create_repo(repo, repo_type="dataset")
        for name in ("train", "test"):
            HfApi().upload_file(
                path_or_fileobj=content.encode(), path_in_repo=f"data/{name}.jsonl", repo_id=repo, repo_type="dataset"
            )
"""


@pytest.fixture(scope="module")
def data(hub, writer):
    """acme/entities: parquet with `ClassLabel`, as `datasets` pushes it; acme/lines, acme/texts: jsonl, strings."""
    writer.run(PUSH_DATA, rows=TAGGED * 8)
    assert "data/train-00000-of-00001.parquet" in hub.files("acme/entities", repo_type="datasets")


@pytest.mark.parametrize(
    ("repo", "splits"),
    [("acme/entities", ["train", "validation", "test"]), ("acme/lines", ["train", "validation", "test"])],
)
def test_tagged_data_of_the_hub(data, writer, repo, splits):
    found = writer.run(
        """
        from hf_lstm.data import load_tagged_splits

        loaded = load_tagged_splits(dataset_name=repo, token_column="words", tag_column="ner_tags")
        names = loaded["train"].features["tags"].feature.names
        tagged = {
            split: [[row["tokens"], [names[i] for i in row["tags"]]] for row in rows] for split, rows in loaded.items()
        }
        answer = [names, tagged]
        """,
        repo=repo,
    )
    names, tagged = found
    rows = [[list(words), list(tags)] for words, tags in TAGGED * 8]
    # A class keeps its order.
    assert (
        names == (["B-LOC", "B-PER", "O"] if repo == "acme/entities" else ["O", "B-LOC", "B-PER"])
        and list(tagged) == splits
        and tagged["test"] == rows
    )
    held_out = [] if repo == "acme/entities" else tagged["validation"]
    assert tagged["train"] + held_out == rows and (held_out or tagged["validation"] == rows)


def test_texts_of_the_hub(data, writer):
    code = """
        from hf_lstm.data import load_classified, load_text

        loaded = load_classified(dataset_name="acme/texts")
        names = loaded["test"].features["label"].names
        texts = load_text(dataset_name="acme/texts")
        answer = [[[row["text"], names[row["label"]]] for row in loaded["test"]], texts["train"]["text"][:]]
    """
    classified, texts = writer.run(code)
    rows = [[" ".join(words), tags[-1]] for words, tags in TAGGED * 8]
    assert classified == rows and texts == [text for text, _ in rows][: len(texts)] and len(texts) > 20


@pytest.mark.parametrize("repo", ["acme/entities", "acme/lines"])
def test_tagger_learns_from_the_hub_and_goes_there(hub, data, writer, reader, repo):
    """The example, from a data set to a model, both of the Hub."""
    model = f"{repo}-tagger"
    line = ["--dataset_name", repo, "--token_column", "words", "--tag_column", "ner_tags", "--output_dir", model]
    line += ["--hidden_size", "6", "--max_steps", "2", "--use_cpu", "True", "--disable_tqdm", "True"]
    code = """
        from test_examples import load
        load("train_token_classification").main(line)
    """
    writer.run(code, line=[*line, "--push_to_hub", "True", "--hub_model_id", model, "--hub_strategy", "end"])
    card = hub.files(model)["README.md"].decode()
    results = ModelCard(card).data.eval_results
    assert {result.dataset_name for result in results} == {repo} and "Accuracy" in {r.metric_name for r in results}
    assert_true(card, hub.files(model))
    load(reader, "tagger", model)
    labels = reader.run("answer = sorted(model.config.label2id)")
    assert {"O", "B-PER", "B-LOC"} <= set(labels)
