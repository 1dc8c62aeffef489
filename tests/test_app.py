# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the demo shows, without a browser: see tests/clients/test_demo.py for `examples/app.py`."""

import base64
import html
import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from families import GRU, LSTM, RNN
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from hf_lstm import LSTMTokenizer, RecurrentEncoderDecoderConfig, RecurrentEncoderDecoderForConditionalGeneration
from hf_lstm.demo.gates import draw_gates, gate_choices
from hf_lstm.demo.look import picture, problem, table, told
from hf_lstm.demo.models import Loaded, load, parse
from hf_lstm.demo.tagging import highlighted, restores, shown, tag
from hf_lstm.demo.translation import translated
from hf_lstm.demo.writing import Story, as_html, as_text, write
from hf_lstm.evaluation import Translator


TEXT = ["Ada Lovelace met Charles Babbage in London .", "Nobody was there .", "the list of words"]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def tagger(kind="word", labels=LABELS, **fields):
    """Random weights that make up their mind."""
    options = {"vocab_size": 300, "add_prefix_space": True}
    if kind == "word":
        options = {"is_split_into_words": True, "characters": True}
    sentences = [text.split() for text in TEXT]
    tokenizer = LSTMTokenizer.train_from_iterator(sentences, kind, show_progress=False, **options)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    size = {"char_vocab_size": tokenizer.char_vocab_size} if kind == "word" else {}
    model = LSTM.build("ForTokenClassification", vocab_size=len(tokenizer), **names, **size, **fields)
    torch.nn.init.normal_(model.classifier.weight, std=2)
    return Loaded(model, tokenizer)


def language_model(family=LSTM, **fields):
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, vocab_size=300, show_progress=False)
    model = family.build("ForCausalLM", vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **fields)
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    return Loaded(model, tokenizer)


@pytest.mark.parametrize("use_crf", [True, False])
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_tags_of_a_text_are_those_of_its_lines(kind, use_crf):
    """Words apart from punctuation, whatever line, its padding and the pieces of words; entities with posteriors."""
    loaded = tagger(kind, use_crf=use_crf)
    text = "Ada Lovelace, in London.\n\n  \nNobody met Ada\n"
    words, entities = tag(loaded, text)
    assert " ".join(text[word.start : word.end] for word in words) == "Ada Lovelace , in London . Nobody met Ada"
    alone = [*tag(loaded, "Ada Lovelace, in London.")[0], *tag(loaded, "Nobody met Ada")[0]]
    for word, other in zip(words, alone, strict=True):
        assert word.label == other.label and word.posteriors == pytest.approx(other.posteriors, abs=1e-6)
        assert sum(word.posteriors.values()) == pytest.approx(1, abs=1e-5) and list(word.posteriors) == LABELS
    assert len(entities) > 1 and {entity.type for entity in entities} <= {"PER", "LOC"}
    inside = [word for word in words if any(e.start <= word.start and word.end <= e.end for e in entities)]
    assert inside == [word for word in words if word.label != "O"]
    for entity in entities:
        own = [word.posteriors[word.label] for word in words if entity.start <= word.start < entity.end]
        # With a CRF an entity is never more probable than its least probable word; without, words are independent.
        assert 0 < entity.posterior <= min(own) + 1e-5
        assert use_crf or entity.posterior == pytest.approx(math.prod(own))
    parts = highlighted(text, entities)
    assert "".join(part for part, _ in parts) == text
    assert [label for _, label in parts if label] == [entity.type for entity in entities]
    marked, written, *tables = shown(loaded, text)
    assert marked == parts and written == "" and [table.count("<tr>") for table in tables] == [len(entities) + 1, 10]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_posteriors_are_those_of_a_chain_over_words(kind):
    """Pieces of words but the first have no part in it."""
    loaded = tagger(kind, use_crf=True)
    model, tokenizer = loaded
    inputs = tokenizer([TEXT[0].split()], is_split_into_words=True, return_tensors="pt")
    of_word = inputs.word_ids()
    firsts = [t for t, word in enumerate(of_word) if t == 0 or of_word[t - 1] != word]
    assert (len(of_word) > len(firsts)) == (kind == "bpe")
    scores = model.classifier(model.model(**inputs)[0])[:, firsts]
    found = [list(word.posteriors.values()) for word in tag(loaded, TEXT[0])[0]]
    torch.testing.assert_close(torch.tensor([found]), model.crf.marginals(scores), atol=1e-5, rtol=1e-5)


def test_labels_that_are_not_of_entities():
    loaded = tagger(labels=["lower", "Title", "lower.", "UPPER"])
    words, entities = tag(loaded, TEXT[0])
    assert restores(loaded.model) and not restores(tagger().model)
    assert [entity.type for entity in entities] == [word.label for word in words if word.label != "lower"]


@pytest.mark.parametrize("text", ["", " \n "])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(ValueError, match="has no words"):
        tag(tagger(), text)


def last(stories):
    *before, story = stories
    assert all(len(a.token_ids) <= len(b.token_ids) for a, b in zip(before, [*before[1:], story], strict=True))
    return story


@pytest.mark.parametrize("family", [LSTM, GRU, RNN], ids=["lstm", "gru", "rnn"])
def test_two_clicks_write_what_one_run_does(family, monkeypatch):
    loaded = language_model(family)
    model, tokenizer = loaded
    first = last(write(loaded, None, "the list", max_new_tokens=7))
    size = first.state_bytes
    before = first.state.copy()
    read, generate = [], type(model).generate
    count = lambda *args, **options: read.append(options["input_ids"].numel()) or generate(*args, **options)  # noqa: E731
    monkeypatch.setattr(type(model), "generate", count)
    second = last(write(loaded, first, max_new_tokens=9))
    assert set(read) == {1}  # the token that was written last, which no step has read
    monkeypatch.undo()
    assert size == second.state_bytes > 0 and second.speed > 0
    assert first.state.get_seq_length() == before.get_seq_length()  # a story can be continued twice
    assert last(write(loaded, first, max_new_tokens=9)).token_ids == second.token_ids
    model.generation_config.eos_token_id = None
    prompt = tokenizer("the list", return_tensors="pt").input_ids
    assert second.token_ids == model.generate(prompt, max_new_tokens=16)[0].tolist()
    assert second.typed == [(0, prompt.shape[1])]


def test_words_in_between_are_read():
    """Also while a document ends, after which the next one begins."""
    loaded = language_model()
    model, tokenizer = loaded
    story = last(write(loaded, None, "the list", max_new_tokens=5))
    story = last(write(loaded, story, "of <words>", max_new_tokens=5))
    start, end = story.typed[1]
    assert story.token_ids[start:end] == tokenizer(" of <words>")["input_ids"] and start == story.typed[0][1] + 5
    with torch.no_grad():
        scores = model(torch.tensor([story.token_ids])).logits[0].argmax(-1)
    assert story.token_ids[end:] == scores[end - 1 : -1].tolist()
    shown = as_html(tokenizer, story)
    assert "<b>the list</b>" in shown and "<b> of &lt;words&gt;</b>" in shown

    half = Story(tokenizer("the é")["input_ids"], [(0, len(tokenizer("the é")["input_ids"]) - 1)])
    assert len(tokenizer("é")["input_ids"]) == 2 and as_html(tokenizer, half).count("�") == 0
    assert "<b>the </b>é" in as_html(tokenizer, half)

    ends = Story([*tokenizer("the list")["input_ids"], tokenizer.eos_token_id, *tokenizer("of")["input_ids"]], [])
    assert as_text(tokenizer, ends.token_ids) == "the list\nof"
    model.lm_head.bias.data[tokenizer.eos_token_id] = 1e4  # every document ends at once
    story = last(write(loaded, None, "the list", max_new_tokens=4))
    assert story.token_ids[-4:] == [tokenizer.eos_token_id] * 4


def test_a_seed_gives_the_same_again():
    loaded = language_model()
    options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "max_new_tokens": 12}
    runs = [last(write(loaded, None, "the list", seed=seed, **options)).token_ids for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    story = last(write(loaded, None, "the list", seed=1, **options))
    assert last(write(loaded, story, seed=1, **options)).token_ids[-12:] != runs[0][-12:]


def test_what_cannot_be_written_says_why():
    loaded = language_model()
    with pytest.raises(ValueError, match="nothing to continue"):
        last(write(loaded, None, " "))
    loaded.model.model.embed_tokens.weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):  # from the thread that generates
        last(write(loaded, None, "the list", temperature=1.0))


def test_gates():
    loaded = language_model(GRU, num_hidden_layers=2)
    choices = gate_choices(loaded.model)
    assert [len(pairs) for pairs in choices.values()] == [2, 1, 3]
    picture, rows = draw_gates(loaded, "the list of words", 1, 0, "z")
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and [row[0] for row in rows] == ["update gate z"]
    assert all(0 <= share <= 1 for share in rows[0][1:])
    assert [row[0] for row in draw_gates(loaded, "the list", 0, 0, "all")[1]] == ["reset gate r", "update gate z"]
    assert [len(pairs) for pairs in gate_choices(tagger().model).values()] == [2, 2, 4]
    with pytest.raises(ValueError, match="has no gates"):
        draw_gates(language_model(RNN), "the list", 0, 0, "all")
    with pytest.raises(ValueError, match="The text is empty"):
        draw_gates(loaded, " ", 0, 0, "all")


def test_translations_with_their_probabilities():
    """The first is the best; the picture is of it."""
    options = {"kind": "word", "add_eos_token": True, "show_progress": False}
    tokenizer = LSTMTokenizer.train_from_iterator(TEXT, **options)
    part = LSTM.config(vocab_size=len(tokenizer), bos_token_id=2, eos_token_id=3, tie_word_embeddings=False)
    model = RecurrentEncoderDecoderForConditionalGeneration(RecurrentEncoderDecoderConfig(encoder=part, decoder=part))
    model.generation_config.max_new_tokens = 8
    translator = Translator(model, tokenizer)
    found = translator("the list of words", num_beams=4, num_return_sequences=3, attention=True)
    best, shares, drawn = translated(translator, " the list\nof words", 4, 3)
    assert best == found[0]["translation_text"] and f"each token of {html.escape(repr(best))}" in drawn
    assert base64.b64decode(re.search(r"base64,(.*?)\"", drawn)[1]).startswith(b"\x89PNG\r\n\x1a\n")
    rows = re.findall(r"<tr><td>(.*?)</td><td>.*?</i>(.*?)</td><td>.*?</i>(.*?)</td></tr>", shares)
    assert [row[0] for row in rows] == [html.escape(each["translation_text"]) for each in found]
    for each, (_, probability, of_token) in zip(found, rows, strict=True):
        assert float(probability) == pytest.approx(math.exp(each["score"]), abs=6e-4)
        tokens = len(each["attention"].target_tokens)
        assert float(of_token) == pytest.approx(math.exp(each["score"]) ** (1 / tokens), abs=6e-4)
    assert translated(translator, "the list of words", 1, 1)[1].count("<tr>") == 2
    with pytest.raises(ValueError, match="The text is empty"):
        translated(translator, " \n", 4, 3)
    with pytest.raises(ValueError, match="5 translations need as many beams, and there are 4"):
        translated(translator, "the list", 4, 5)


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"(?s)`tagger` is '.*nowhere', from which no .*`make demo`.*`--tagger`"):
        load("tagger", str(tmp_path / "nowhere"), AutoModelForTokenClassification)
    for part in tagger(use_crf=True):
        part.save_pretrained(tmp_path)
    loaded = load("tagger", str(tmp_path), AutoModelForTokenClassification)
    assert not loaded.model.training and len(tag(loaded, TEXT[0])[0]) == 8
    with pytest.raises(ValueError, match=r"(?s)`language_model` is .*`--language_model` with a folder"):
        load("language_model", str(tmp_path), AutoModelForCausalLM)


def test_the_space_of_the_documentation():
    """Its front matter is what the Hub reads, and the version of gradio the one that the demo is tested with."""
    root = Path(__file__).parents[1]
    fields = yaml.safe_load(re.search(r"```yaml\n---\n(.*?)---\n", (root / "docs/demo.md").read_text(), re.S)[1])
    assert fields["sdk"] == "gradio" and (root / "examples" / fields["app_file"]).is_file()
    assert f"\ngradio=={fields['sdk_version']}\n" in (root / "constraints.txt").read_text()


def test_names_of_models_come_from_the_command_line_or_the_environment(monkeypatch):
    for name in ("LANGUAGE_MODEL", "TRANSLATOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGGER", "user/tagger")
    args = parse("", [])
    assert (args.tagger, args.language_model, args.port) == ("user/tagger", "./runs/python_docs_lm", None)
    assert args.translator == "./runs/tatoeba_en_zh"
    assert parse("", ["--tagger", "mine"]).tagger == "mine"


def test_a_click_first_clears_what_the_last_one_showed():
    """So that no result stands beside an input that it is not of, whatever goes wrong."""

    def answer(text):
        if not text:
            raise ValueError("The <text> is empty.")
        return text, [1 / len(text)]

    click = told(answer, ("", None))
    assert list(click("two")) == [("", None, ""), ("two", [1 / 3], "")]
    wrong = '<p class="problem" role="alert">The &lt;text&gt; is empty.</p>'
    assert list(click("")) == [("", None, ""), ("", None, wrong)]
    assert problem(ValueError("The <text> is empty.")) == wrong
    with pytest.raises(TypeError):
        list(click(3))


def test_html_of_pictures_and_tables():
    shown = picture(b"\x89PNG", 'gates of "a"')
    assert 'src="data:image/png;base64,iVBORw=="' in shown and 'alt="gates of &quot;a&quot;"' in shown
    assert table(["<b>"], [["<i>"]]).count("&lt;") == 2
