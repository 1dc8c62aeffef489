# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Each example runs for two steps on tiny data, and leaves what it promises."""

import importlib.util
import io
import json
import math
from pathlib import Path

import datasets
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Trainer,
)

from hf_lstm import LSTMConfig, LSTMForCausalLM, LSTMTokenizer
from hf_lstm.evaluation import Translator, tagging_scores
from hf_lstm.evaluation.adding_problem import adding_problem
from hf_lstm.evaluation.alignments import pharaoh
from hf_lstm.evaluation.translation import translation_scores
from hf_lstm.evaluation.translator import one_line
from hf_lstm.training.arguments import PairArguments, TranslatorArguments


EXAMPLES = Path(__file__).parents[1] / "examples"
TEXT = "".join(f"The cat number {i} sat on the mat. The dog saw the cat and left.\n" for i in range(60))


def load(name: str):
    """The example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def command_line(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    options = {
        "train_file": text,
        "output_dir": tmp_path / "run",
        "vocab_size": 300,
        "block_size": 16,
        "hidden_size": 8,
        "max_steps": 2,
        "per_device_eval_batch_size": 4,  # does not divide the number of blocks
        "prompts": "The cat",
        "use_cpu": True,
    }
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def perplexities(run: Path, split: str = "validation") -> dict[str, float]:
    return results(run)["perplexity"][split]


def results(run: Path) -> dict:
    return json.loads((run / "eval_results.json").read_text())


def perplexity(model, rows: list[list[int]]) -> float:
    """Of the tokens of each row but the first, each row read by itself."""
    rows = [torch.tensor([row]) for row in rows if len(row) > 1]
    with torch.no_grad():
        losses = [model(input_ids=row, labels=row, num_items_in_batch=1).loss.item() for row in rows]
    return math.exp(sum(losses) / sum(row.shape[1] - 1 for row in rows))


def is_png(path: Path) -> bool:
    picture = path.read_bytes()
    return picture.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in picture[-12:] and len(picture) > 5_000


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_fits_on_a_page(example):
    assert len(example.read_text().splitlines()) <= 150


@pytest.mark.parametrize("family", ["lstm", "gru", "rnn"])
def test_language_model(tmp_path, command_line, capsys, family):
    load("train_language_model").main([*command_line, "--model_type", family])
    run = tmp_path / "run"
    assert is_png(run / "training_curve.png")
    windows, carried = f"{family.upper()}, windows of 16", f"{family.upper()}, state carried"
    assert set(perplexities(run)) == {"unigram", "trigram", windows, carried}
    assert "\nThe cat" in capsys.readouterr().out  # the text that it generated

    # What was saved is what was measured: the held-out tail of the text has this perplexity, in windows and in one go.
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run).eval()
    assert model.config.model_type == family
    held_out = [tokenizer(line)["input_ids"] + [tokenizer.eos_token_id] for line in TEXT.splitlines()[-6:]]
    stream = [token for line in held_out for token in line]
    blocks = [stream[i : i + 17] for i in range(0, len(stream), 16)]
    assert perplexities(run)[windows] == pytest.approx(perplexity(model, blocks), rel=1e-4)
    assert perplexities(run)[carried] == pytest.approx(perplexity(model, [stream]), rel=1e-4)
    assert results(run)["tokens"]["validation"] == len(stream)


@pytest.mark.slow
def test_language_model_resumes(tmp_path, command_line, monkeypatch):
    example = load("train_language_model")
    example.main([*command_line, "--save_strategy", "steps", "--save_steps", "1", "--save_total_limit", "2"])
    straight = perplexities(tmp_path / "run")
    steps = []
    training_step = Trainer.training_step
    monkeypatch.setattr(Trainer, "training_step", lambda *args, **kw: steps.append(1) or training_step(*args, **kw))
    example.main([*command_line, "--resume_from_checkpoint", str(tmp_path / "run" / "checkpoint-1")])
    assert len(steps) == 1
    assert perplexities(tmp_path / "run") == pytest.approx(straight, rel=1e-6)


@pytest.mark.parametrize("options", [["--variable_length"], ["--reset_at", "document"]], ids=" ".join)
def test_language_model_with_a_carried_state(tmp_path, command_line, options):
    load("train_language_model").main([*command_line, "--stateful", *options, "--per_device_eval_batch_size", "1"])
    run = tmp_path / "run"
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run).eval()
    held_out = [tokenizer(line)["input_ids"] + [tokenizer.eos_token_id] for line in TEXT.splitlines()[-6:]]
    stream = [token for line in held_out for token in line]
    assert perplexities(run)["LSTM, state carried"] == pytest.approx(perplexity(model, [stream]), rel=1e-4)
    if "document" in options:
        afresh = perplexities(run)["LSTM, each document afresh"]
        assert afresh == pytest.approx(perplexity(model, held_out), rel=1e-4)


def test_language_model_of_words_with_awd(tmp_path, command_line):
    """Lines of words with one end each, blank ones included; every option of AWD-LSTM; a text of its own at last."""
    lines = [f" = Title {i} = \n \n The cat 's <unk> number {i} sat on the mat . \n" for i in range(40)]
    (tmp_path / "text.txt").write_text("".join(lines))
    (tmp_path / "test.txt").write_text("".join(lines[:3]))
    options = ["--test_file", str(tmp_path / "test.txt"), "--keep_blank", "--no_split_punctuation"]
    options += ["--tokenizer_kind", "word", "--stateful", "--hidden_sizes", "6", "10", "8", "--embedding_size", "8"]
    fields = {
        "embedding_dropout": 0.1,
        "input_dropout": 0.4,
        "hidden_dropout": 0.25,
        "output_dropout": 0.45,
        "recurrent_weight_dropout": 0.5,
        "activation_regularization": 2.0,
        "temporal_activation_regularization": 1.0,
        "output_layer": "adaptive",
        "initializer": "uniform",
    }
    options += [str(part) for name, value in fields.items() for part in (f"--{name}", value)]
    options += [
        "--non_monotone_interval",
        "1",
        "--gradient_flow",
        "1",
        "--eval_strategy",
        "steps",
        "--eval_steps",
        "1",
    ]
    load("train_language_model").main([*command_line, *options])
    run = tmp_path / "run"
    tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run).eval()
    assert {name: getattr(model.config, name) for name in fields} == fields
    assert model.config.hidden_sizes == [6, 10, 8] and model.config.embedding_size == 8

    rows = [tokenizer(line)["input_ids"] + [tokenizer.eos_token_id] for line in "".join(lines[:3]).splitlines()]
    assert [len(row) for row in rows[:3]] == [5, 1, 12] and rows[2][3] == tokenizer.unk_token_id
    stream = [token for row in rows for token in row]
    assert results(run)["tokens"] == {"train": 36 * 18, "validation": 4 * 18, "test": len(stream)}
    assert perplexities(run, "test")["LSTM, state carried"] == pytest.approx(perplexity(model, [stream]), rel=1e-4)

    state = json.loads((run / "trainer_state.json").read_text())
    averaging = state["stateful_callbacks"]["NonMonotonicAveraging"]
    assert averaging["args"]["non_monotone_interval"] == 1 and len(averaging["attributes"]["log"]) == 2
    assert sum("gradient_flow/layer_2/memory" in log for log in state["log_history"]) == 3


def test_language_models_of_characters_in_both_directions(tmp_path, command_line, capsys):
    """One text with its newlines; the backward model is one of reversed texts, with an equal tokenizer."""
    options = ["--tokenizer_kind", "char", "--sample_by", "document", "--stateful"]
    vocabs, cut = [], len(TEXT) * 9 // 10
    for direction in (1, -1):
        run = tmp_path / str(direction)
        reverse = ["--reverse"] if direction == -1 else []
        load("train_language_model").main([*command_line, *options, *reverse, "--output_dir", str(run)])
        tokenizer, model = AutoTokenizer.from_pretrained(run), AutoModelForCausalLM.from_pretrained(run).eval()
        vocabs.append(tokenizer.get_vocab())
        stream = tokenizer(TEXT[cut:][::direction])["input_ids"] + [tokenizer.eos_token_id]
        expected = perplexity(model, [stream])
        assert perplexities(run)["LSTM, state carried"] == pytest.approx(expected, rel=1e-4)
        assert results(run)["nats"]["validation"]["LSTM, state carried"] == pytest.approx(math.log(expected), rel=1e-4)
        card = (run / "README.md").read_text()
        assert "| nats a character, state carried | validation |" in card and ("from its last" in card) == bool(
            reverse
        )
        generated = capsys.readouterr().out.split("\n\n")[-2]
        assert generated.endswith("The cat") if reverse else generated.startswith("The cat")
    assert vocabs[0] == vocabs[1] and set(TEXT) <= set(vocabs[0]) and len(vocabs[0]) == len(set(TEXT)) + 4


def test_language_model_refuses_a_missing_file(command_line):
    command_line[1] += ".missing"
    with pytest.raises(ValueError, match=r"`train_file` is '.*missing'"):
        load("train_language_model").main(command_line)


def test_picture_needs_no_display_and_names_what_is_missing(tmp_path, monkeypatch):
    from hf_lstm.evaluation.plotting import plot_training_curve

    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_loss": 1.5}, {"step": 2, "train_runtime": 3.0}]
    plot_training_curve(history, tmp_path / "curve.png", baselines={"trigram": 1.7})
    assert is_png(tmp_path / "curve.png")
    with pytest.raises(ValueError, match="`log_history` holds no"):
        plot_training_curve([{"step": 2, "train_runtime": 3.0}], tmp_path / "none.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        plot_training_curve(history, tmp_path / "curve.png")


ENTITIES = [("Ada", "B-PER"), ("Lovelace", "I-PER"), ("met", "O"), ("Bob", "B-PER"), ("in", "O"), ("Paris", "B-LOC")]


@pytest.fixture
def tagger_line(tmp_path):
    """Column files with entities in IOB2, and a tiny network."""
    for name, number in (("train", 12), ("dev", 4), ("test", 5)):
        sentences = (ENTITIES[i % 3 :] for i in range(number))
        lines = ("".join(f"{word} _ {tag}\n" for word, tag in sentence) for sentence in sentences)
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    (tmp_path / "glove.txt").write_text("ada 0.5 1.0 0.25\nmet 0.25 2.0 1.0\n")
    options = {
        "train_file": tmp_path / "train.txt",
        "validation_file": tmp_path / "dev.txt",
        "test_file": tmp_path / "test.txt",
        "output_dir": tmp_path / "run",
        "hidden_size": 6,
        "max_steps": 2,
        "max_tokens": 24,
        "use_cpu": True,
    }
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


@pytest.mark.parametrize("scheme, labels", [("BMES", {"O", "B", "I"}), ("none", set("BMES")), (None, set("BMES"))])
def test_tagger_of_letters(tmp_path, tagger_line, scheme, labels):
    """Words of Chinese, if somebody says so; else four classes, none of which may be lost."""
    text = "".join(f"{token} {tag}\n" for token, tag in zip("abcdef", "BMESBE", strict=True))
    (tmp_path / "train.txt").write_text(f"{text}\n" * 2)
    files = [str(tmp_path / "train.txt")] * 2
    line = [*tagger_line, "--validation_file", files[0], "--test_file", files[1]]
    load("train_token_classification").main([*line, *(["--data_scheme", scheme] if scheme else [])])
    results = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert ("overall_f1" in results) == (scheme == "BMES")
    written = (tmp_path / "run" / "predictions.txt").read_text().split("\n")[:6]
    assert [line.rsplit(" ", 1)[0] for line in written] == text.split("\n")[:6]
    assert set(AutoModelForTokenClassification.from_pretrained(tmp_path / "run").config.label2id) == labels


@pytest.mark.parametrize("family, crf", [("lstm", True), ("gru", True), ("rnn", False)])
def test_tagger(tmp_path, tagger_line, capsys, family, crf):
    options = ["--model_type", family, "--use_crf", str(crf), "--vectors", str(tmp_path / "glove.txt")]
    load("train_token_classification").main([*tagger_line, *options, "--sentences", "Ada met Bob"])
    run = tmp_path / "run"
    results = json.loads((run / "test_results.json").read_text())
    output = capsys.readouterr().out
    assert "exact" in output and "\nAda met Bob\n  ->  Ada/" in output
    assert 0 <= results["not_most_probable"] <= 1 and (crf or results["not_most_probable"] == 0)
    assert results["train_seconds"] > 0

    # The file has the tags of the data in their scheme, and what conlleval would say of it is what was measured.
    lines = (run / "predictions.txt").read_text().split("\n\n")[:-1]
    rows = [[line.split(" ") for line in sentence.splitlines()] for sentence in lines]
    assert [[(word, tag) for word, tag, _ in row] for row in rows] == [ENTITIES[i % 3 :] for i in range(5)]
    predicted = [[row[2] for row in sentence] for sentence in rows]
    assert all(tag[0] in "BIO" for row in predicted for tag in row)
    scores = tagging_scores([[row[1] for row in sentence] for sentence in rows], predicted)
    assert scores["overall_f1"] == pytest.approx(results["overall_f1"])

    model, tokenizer = AutoModelForTokenClassification.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    assert model.num_parameters() == results["parameters"]
    assert model.config.embedding_size == 3 and model.config.char_vocab_size == tokenizer.char_vocab_size > 2
    assert set(model.config.label2id) == {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
    assert {"S-PER", "E-LOC"} <= set(model.folding.names)
    words = [[word for word, _ in ENTITIES[i % 3 :]] for i in range(5)]
    inputs = tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        ids = model(**inputs).logits.argmax(-1).tolist()
    types = [[model.config.id2label[i][2:] for i in row[: len(word)]] for row, word in zip(ids, words, strict=True)]
    assert types == [[tag[2:] for tag in row] for row in predicted]


@pytest.mark.slow
def test_tagger_resumes(tmp_path, tagger_line):
    example = load("train_token_classification")
    steps = ["--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"]
    line = [*tagger_line, "--max_steps", "4", *steps]
    example.main(line)
    results = [json.loads((tmp_path / "run" / "test_results.json").read_text())]
    checkpoints = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert len(checkpoints) > 1
    example.main([*line, "--resume_from_checkpoint", str(checkpoints[0])])
    results.append(json.loads((tmp_path / "run" / "test_results.json").read_text()))
    for result in results:
        result.pop("train_seconds")
    assert results[0] == results[1]


CLASSES = {
    "lines.txt": "".join(
        f"{'NUM:a' if i % 2 else 'LOC:b'} {'when' if i % 2 else 'where'} was it ?\n" for i in range(40)
    ),
    "rows.jsonl": "".join(
        f'{{"text": "it was {i}", "label": {[["x"], ["x", "y"], []][i % 3]}}}\n'.replace("'", '"') for i in range(40)
    ),
    "rows.csv": "text,label\n" + "".join(f"it was {i},{i / 40}\n" for i in range(40)),
}


@pytest.mark.parametrize(
    "file, problem_type, scores",
    [
        ("lines.txt", "single_label_classification", {"accuracy", "macro_f1"}),
        ("rows.jsonl", "multi_label_classification", {"f1", "macro_f1"}),
        ("rows.csv", "regression", {"mse", "mae"}),
    ],
)
def test_classifier(tmp_path, file, problem_type, scores):
    (tmp_path / file).write_text(CLASSES[file])
    options = {"train_file": tmp_path / file, "test_file": tmp_path / file, "output_dir": tmp_path / "run"}
    options |= {"problem_type": problem_type, "label_end": ":", "hidden_size": 8, "max_steps": 2, "use_cpu": True}
    load("train_text_classification").main(
        [str(part) for pair in options.items() for part in ("--" + pair[0], pair[1])]
    )
    results = json.loads((tmp_path / "run" / "test_results.json").read_text())
    assert {f"test_{score}" for score in scores} <= set(results)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    assert model.config.problem_type == problem_type
    if problem_type == "single_label_classification":
        assert set(model.config.label2id) == {"LOC", "NUM"}
        with torch.no_grad():
            ids = model(**tokenizer(["where was it ?", "when was it ?"], return_tensors="pt")).logits.argmax(-1)
        right = (ids.tolist()[0] == model.config.label2id["LOC"]) + (ids.tolist()[1] == model.config.label2id["NUM"])
        assert results["test_accuracy"] == right / 2


PAIRS = "".join(f"The dog {i} ran home.\tDer Hund {i} lief heim.\n" for i in range(40))
PAIRS += "".join(f"My cat {i} sleeps.\tMeine Katze {i} schläft.\n" for i in range(40))


def test_pairs_that_come_along_are_attributed():
    data = PairArguments().training_data({})
    assert data.license == "cc-by-2.0" and "[Tatoeba](https://tatoeba.org), under CC BY 2.0 FR" in data.description
    data = PairArguments(train_file=["pairs.txt"], target_lang="de").training_data({})
    assert (data.name, data.license, data.description) == ("pairs.txt", None, None)


@pytest.fixture
def translator_line(tmp_path):
    """Pairs a line, and a tiny network."""
    (tmp_path / "pairs.txt").write_text(PAIRS, encoding="utf-8")
    options = {"train_file": tmp_path / "pairs.txt", "test_file": tmp_path / "pairs.txt", "target_lang": "de"}
    sizes = {"embedding_size": 8, "hidden_size": 8, "max_steps": 2, "num_beams": 2, "generation_max_length": 6}
    options |= sizes | {"output_dir": tmp_path / "run", "vocab_size": 300, "pictures": 1, "use_cpu": True}
    return [str(part) for name, value in options.items() for part in (f"--{name}", value)]


def test_translator_says_before_training_that_it_cannot_draw(translator_line, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"`pictures` is 1, which need matplotlib: `pip install .* set it to 0"):
        load("train_translation").main(translator_line)


def test_translator(tmp_path, translator_line, capsys):
    """What is measured is what the folder does by itself; a file of it scores the same."""
    options = [
        "--source_lang",
        "en",
        "--length_penalties",
        "0.5",
        "2",
        "--average",
        "0.9",
        "--num_attention_heads",
        "2",
    ]
    load("train_translation").main([*translator_line, *options, "--license", "mit", "--label_smoothing", "0.2"])
    run = tmp_path / "run"
    sources, targets = zip(*(line.split("\t") for line in PAIRS.splitlines()), strict=True)
    translator = Translator(run)
    generation = translator.model.generation_config
    assert generation.num_beams == 2 and generation.length_penalty in (0.5, 2.0) and generation.max_length == 6
    texts = [one_line(found["translation_text"]) for found in translator(list(sources))]
    assert (run / "predictions.txt").read_text(encoding="utf-8").split("\n") == [*texts, ""]
    scores, saved = translation_scores(texts, targets, "de"), json.loads((run / "test_results.json").read_text())
    assert saved["test_bleu"] == pytest.approx(scores.bleu) and saved["test_chrf"] == pytest.approx(scores.chrf)
    assert saved["parameters"] == translator.model.num_parameters() and saved["train_seconds"] > 0
    output, card = capsys.readouterr().out, (run / "README.md").read_text(encoding="utf-8")
    assert str(scores) in output and f"\n{sources[0]}\n  ->  {texts[0]}" in output
    assert "| **run** | BLEU (nrefs" in card and "| translation memory | chrF" in card and "license: mit" in card
    assert "language:\n- en\n- de\n" in card and "sortish_sampler" not in card
    assert is_png(run / "attention_1.png") and not (run / "attention_2.png").exists()
    found = [line.split("\t") for line in (run / "n_best.tsv").read_text(encoding="utf-8").splitlines()]
    assert [row[0] for row in found] == [sources[0]] * 2 and found[0][2] == texts[0]
    assert [float(row[1]) for row in found] == sorted((float(row[1]) for row in found), reverse=True)
    config = translator.model.config
    assert (config.label_smoothing, config.num_attention_heads, config.decoder.num_hidden_layers) == (0.2, 2, 2)
    assert type(translator.tokenizer).__name__ == "TranslationTokenizer"

    example = load("translate")
    (tmp_path / "in.txt").write_text(f"{sources[0]}\n\n{sources[41]}\n")
    found = translator([sources[0], sources[41]], alignments=True)
    lines = [
        f"{one_line(each['translation_text'])}\t{each['score']:.4f}\t{pharaoh(each['alignments'])}" for each in found
    ]
    lines.insert(1, "\t0.0000\t")
    columns = [str(run), "--scores", "--alignments"]
    example.main([*columns, "--file", str(tmp_path / "in.txt"), "--output_file", str(tmp_path / "out.txt")])
    assert (tmp_path / "out.txt").read_text() == "".join(f"{line}\n" for line in lines)
    example.main([*columns, sources[0], "", sources[41]])
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        ["--model_type", "gru", "--share_vocabulary", "--bpe_dropout", "0.5", "--attention", "additive"],
        ["--model_type", "rnn", "--source_tokenizer", "word", "--target_tokenizer", "char", "--bf16"],
        ["--input_feeding", "--tie_word_embeddings", "False", "--attention", "general", "--decoder_layers", "1"],
    ],
    ids=["shared", "two kinds", "input feeding"],
)
def test_kinds_of_translators(tmp_path, translator_line, options):
    load("train_translation").main([*translator_line, *options])
    translator = Translator(tmp_path / "run")
    config, tokenizer = translator.model.config, translator.tokenizer
    shared, kind = "--share_vocabulary" in options, config.decoder.model_type
    assert kind == config.encoder.model_type == (options[1] if options[0] == "--model_type" else "lstm")
    assert (
        config.share_encoder_decoder_embeddings == shared and (type(tokenizer).__name__ == "LSTMTokenizer") == shared
    )
    assert config.tie_word_embeddings == ("--input_feeding" not in options) == (not config.input_feeding)
    kinds = [each.init_kwargs["kind"] for each in (tokenizer, getattr(tokenizer, "target", tokenizer))]
    assert kinds == (["word", "char"] if "word" in options else ["bpe", "bpe"])
    assert len(json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]) > 2
    assert math.isfinite(json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"][0]["loss"])


def test_translator_refuses_what_does_not_fit(translator_line):
    example = load("train_translation")
    with pytest.raises(ValueError, match=r"`share_vocabulary` is True, but .* kind 'bpe' and .* 'char'"):
        example.main([*translator_line, "--share_vocabulary", "--target_tokenizer", "char"])
    with pytest.raises(ValueError, match="`share_vocabulary` is True, but `target_vocab_size` is 90"):
        example.main([*translator_line, "--share_vocabulary", "--target_vocab_size", "90"])
    with pytest.raises(ValueError, match="`target_lang` is None: give the language of the targets"):
        example.main(translator_line[: translator_line.index("--target_lang")])
    with pytest.raises(ValueError, match="none of the 72 pairs is so short"):
        example.main([*translator_line, "--max_length", "2"])
    for name, value, least in (("num_beams", "0", 1), ("pictures", "-1", 0)):
        with pytest.raises(ValueError, match=f"`{name}` is {value}: give at least {least}"):
            example.main([*translator_line, f"--{name}", value])


@pytest.mark.parametrize("language", ["zh", "ja", "ZH", "zh_CN", "zh-TW", "cmn", "zho_Hans", "jpn"])
def test_characters_of_chinese_whatever_its_code(language):
    assert TranslatorArguments().kinds(["en_GB", language]) == ["bpe", "char"]


def test_translation_from_standard_input(tmp_path, translator_line, capsys, monkeypatch):
    load("train_translation").main([*translator_line, "--pictures", "0"])
    capsys.readouterr()
    example, run = load("translate"), str(tmp_path / "run")
    translator = Translator(run)
    text = "The dog 3 ran home."
    best = translator(text, num_beams=3, num_return_sequences=2)
    best = [one_line(found["translation_text"]) for found in best]
    for typed in (True, False):
        stdin = io.StringIO(f"{text}\n\n{text}")
        monkeypatch.setattr(stdin, "isatty", lambda typed=typed: typed, raising=False)
        monkeypatch.setattr("sys.stdin", stdin)
        example.main([run, "--num_beams", "3", "--n_best", "2"])
        assert capsys.readouterr().out == "".join(f"{line}\n" for line in [*best, "", "", *best])
    example.main([run, text, "--picture", str(tmp_path / "looks.png")])
    assert is_png(tmp_path / "looks.png")
    alone = [["--file", "in.txt"], [text, "--output_file", "out.txt"]]
    file = ["--file", "in.txt", "--output_file", "out.txt"]
    for options in (*alone, [text, text, "--picture", "a.png"], [*file, "--n_best", "2"]):
        with pytest.raises(SystemExit):
            example.main([run, *options])


def test_evaluation_of_a_language_model(tmp_path, capsys):
    """The whole way, with a model that is not trained; the perplexity of one stream by hand."""
    text, run, results = tmp_path / "text.txt", tmp_path / "run", tmp_path / "results.json"
    text.write_text(TEXT)
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT.splitlines(), vocab_size=300, show_progress=False)
    model = LSTMForCausalLM(LSTMConfig(vocab_size=len(tokenizer), hidden_size=8)).eval()
    for part in (model, tokenizer):
        part.save_pretrained(run)
    options = {"model": run, "train_file": text, "results_file": results, "window": 16, "tuning_tokens": 40}
    line = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    load("evaluate_language_model").main([*line, "--learning_rates", "3e-4", "1e-3", "--decays", "0"])
    output = capsys.readouterr().out
    assert "\nNeuralCache(theta=" in output and "\nDynamicEvaluation(learning_rate=" in output
    saved = json.loads(results.read_text())
    assert saved["options"]["with dynamic evaluation"]["dynamic_evaluation"].startswith("DynamicEvaluation(learning")
    ways = saved["perplexity"]
    assert list(ways) == [
        "windows of 16",
        "state carried",
        "with neural cache",
        "with dynamic evaluation",
        "with both",
    ]
    held_out = [tokenizer(line)["input_ids"] + [tokenizer.eos_token_id] for line in TEXT.splitlines()[-6:]]
    stream = torch.tensor([[token for line in held_out for token in line]])
    stream = stream[:, (stream.shape[1] + 1) // 2 :]
    with torch.no_grad():
        loss = model(stream, labels=stream).loss.item()
    assert ways["state carried"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert ways["with neural cache"] < ways["state carried"]  # the text says the same again and again
    assert ways["with dynamic evaluation"] < ways["state carried"]

    # A text of its own to measure on, whose blank lines count.
    test = tmp_path / "test.txt"
    test.write_text("The cat sat .\n\nThe dog saw the cat .\n")
    options = ["--test_file", str(test), "--keep_blank", "--learning_rates", "3e-4", "--decays", "0"]
    load("evaluate_language_model").main([*line, *options])
    rows = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in test.read_text().splitlines()]
    stream = [token for row in rows for token in row]
    carried = json.loads(results.read_text())["perplexity"]["state carried"]
    assert carried == pytest.approx(perplexity(model, [stream]), rel=1e-4)


def test_gradient_flow(tmp_path, capsys):
    inputs, answers = adding_problem(5_000, 30, seed=3)
    numbers, marks = inputs.unbind(-1)
    assert torch.equal(marks[:, :15].sum(1), torch.ones(5_000)) and torch.equal(
        marks.sum(1), torch.full((5_000,), 2.0)
    )
    torch.testing.assert_close(numbers[marks == 1].view(-1, 2).sum(1), answers)
    assert (answers - 1).pow(2).mean().item() == pytest.approx(1 / 6, rel=0.05)  # the score of who always answers 1

    networks = ["RNN, relu, identity", "RNN, relu, identity, not clipped", "GRU, chrono"]
    try:
        load("gradient_flow").main(["--quick", "--output_dir", str(tmp_path), "--networks", *networks])
    finally:
        torch.set_flush_denormal(False)
    results = json.loads((tmp_path / "gradient_flow.json").read_text())
    assert [run["network"] for run in results["adding_problem"]] == networks
    assert results["flow"]["GRU"]["memory_length"] < results["flow"]["RNN, relu, identity"]["memory_length"] == 200
    assert is_png(tmp_path / "gradient_flow.png")
    table = capsys.readouterr().out.rsplit("Adding problem", 1)[1]
    for run in results["adding_problem"]:
        assert run["steps"] == 20 and run["solved"] == (run["mse"] < 0.01)
        outcome = "solved in" if run["solved"] else "failed after"
        assert f"{run['network']:<34}    20     0  {outcome} 20 steps" in table
