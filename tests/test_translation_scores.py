# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Scores of translations against definitions, sacrebleu and other programs; the memory, alignments and pictures."""

import gzip
import importlib.util
import json
import math
import random
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
import sacrebleu
import torch
from huggingface_hub import ModelCard
from processes import ROOT
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers import tokenizer_ja_mecab
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import (
    DataCollatorForSeq2Seq,
    EvalPrediction,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

from hf_lstm import (
    GRUConfig,
    LSTMTokenizer,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
)
from hf_lstm.evaluation import plotting
from hf_lstm.evaluation.alignments import alignments, pharaoh, split_words, words_of_tokens
from hf_lstm.evaluation.plotting import legible, plot_attention, plot_gates
from hf_lstm.evaluation.translation import (
    bleu_tokenizer,
    compare_translations,
    make_translation_metrics,
    translation_scores,
)
from hf_lstm.evaluation.translation_memory import TranslationMemory
from hf_lstm.hub.measurements import translation_measurements
from hf_lstm.training.card_trainer import CardTrainer


WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "house", ".", ",", "!"]
ENGLISH = ["A cat sat on the mat.", "Two dogs ran home!", "The dog saw a cat.", "Nobody came.", "A dog ran."]
CHINESE = ["一只猫坐在垫子上。", "两只狗跑回家了！", "狗看见一只猫。", "没人来。", "一只狗跑了。"]
PICTURE = b"\x89PNG"


def sentences(n: int, seed: int, words=WORDS, joint: str = " ") -> list[str]:
    draw = random.Random(seed)
    return [joint.join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(n)]


def damaged(texts: list[str], seed: int, share: float) -> list[str]:
    """Texts some words of which are others."""
    draw = random.Random(seed)
    rows = [[draw.choice(WORDS) if draw.random() < share else word for word in text.split()] for text in texts]
    return [" ".join(row) for row in rows]


# BLEU and chrF.


def test_bleu_by_hand():
    """5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; and a translation of 4 words for 6."""
    scores = translation_scores(["the cat sat on a mat"], ["the cat sat on the mat"], "en")
    assert scores.precisions == pytest.approx((500 / 6, 60, 50, 100 / 3))
    assert scores.bleu == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))
    assert (scores.brevity_penalty, scores.prediction_tokens, scores.reference_tokens) == (1, 6, 6)
    short = translation_scores(["the cat sat on"], ["the cat sat on the mat"], "en")
    assert short.brevity_penalty == pytest.approx(math.exp(1 - 6 / 4)) == pytest.approx(short.bleu / 100)
    assert short.length_ratio == pytest.approx(4 / 6) and short.sentences == 1


def chrf_slowly(predictions, references) -> float:
    """Popović 2015 with beta 2 over n of 1 to 6, white space left out: precision and recall are means over n."""
    precisions, recalls = [], []
    for n in range(1, 7):
        found = true = right = 0
        for texts in zip(predictions, references, strict=True):
            grams = []
            for text in ("".join(text.split()) for text in texts):
                grams.append(Counter(text[i : i + n] for i in range(len(text) - n + 1)))
            found, true = found + grams[0].total() * bool(grams[1]), true + grams[1].total()
            right += (grams[0] & grams[1]).total()
        precisions, recalls = [*precisions, right / found], [*recalls, right / true]
    precision, recall = np.mean(precisions), np.mean(recalls)
    return 100 * 5 * precision * recall / (4 * precision + recall)


def test_chrf_by_its_definition():
    references = sentences(20, seed=1)
    predictions = damaged(references, seed=2, share=0.4)
    assert translation_scores(predictions, references, "en").chrf == pytest.approx(
        chrf_slowly(predictions, references)
    )


@pytest.mark.parametrize(
    ("language", "tokenize", "options"),
    [
        ("en", "13a", {}),
        ("de-AT", "13a", {"lowercase": True}),
        ("zh", "zh", {}),
        ("zho_Hans", "zh", {}),
        ("th", "char", {}),
        ("ja", "char", {"tokenize": "char"}),
    ],
)
def test_scores_are_those_of_sacrebleu(language, tokenize, options):
    references = [f"{text.capitalize()} 一只猫。" for text in sentences(15, seed=1)]
    predictions = [f"{text} 两只猫!" for text in damaged(references, seed=2, share=0.4)]
    scores, case = translation_scores(predictions, references, language, **options), options.get("lowercase", False)
    bleu, chrf = BLEU(tokenize=tokenize, lowercase=case), CHRF(lowercase=case)
    expected = bleu.corpus_score(predictions, [references])
    assert (scores.bleu, scores.brevity_penalty) == (expected.score, expected.bp) and 0 < scores.bleu < 100
    assert scores.chrf == chrf.corpus_score(predictions, [references]).score
    assert scores.bleu_signature == str(bleu.get_signature()) and f"tok:{tokenize}|" in scores.bleu_signature
    assert scores.chrf_signature == str(chrf.get_signature())
    assert f"version:{sacrebleu.__version__}" in scores.bleu_signature
    text = str(scores)
    assert f"BLEU {scores.bleu:.2f}" in text and f"chrF {scores.chrf:.2f}" in text and scores.bleu_signature in text


def test_chinese_is_scored_by_characters():
    """By `13a` a line of Chinese would be one token, right or wrong as a whole."""
    references, predictions = CHINESE[:1], ["一只狗坐在垫子上。"]
    apart = [[" ".join(text) for text in texts] for texts in (predictions, references)]
    expected = BLEU(tokenize="none").corpus_score(apart[0], [apart[1]]).score
    assert translation_scores(predictions, references, "zh").bleu == pytest.approx(expected) and expected > 50
    assert translation_scores(predictions, references, "en").bleu == 0


def test_several_references_and_not_of_each_as_many():
    """A word counts as often as it is in any one of them, and the closest length counts (Papineni et al. 2002)."""
    scores = translation_scores(["the the cat sat", "ran"], [["the cat sat", "the the dog"], ["he ran"]], "en")
    assert scores.precisions[0] == pytest.approx(100 * 5 / 5)
    assert scores.reference_tokens == 3 + 2 and "nrefs:var" in scores.bleu_signature
    references = [sentences(10, seed) for seed in (1, 2, 3)]
    predictions = damaged(references[1], seed=4, share=0.3)
    scores = translation_scores(predictions, list(zip(*references, strict=True)), "en")
    assert scores.bleu == BLEU().corpus_score(predictions, references).score and "nrefs:3" in scores.bleu_signature


def test_empty_translations_count_and_score_nothing():
    references = sentences(10, seed=1)
    nothing = translation_scores([""] * 10, references, "en")
    assert (nothing.bleu, nothing.chrf, nothing.length_ratio, nothing.brevity_penalty) == (0, 0, 0, 0)
    half = translation_scores([*references[:5], *[""] * 5], references, "en")
    words = [sum(len(text.split()) for text in texts) for texts in (references[:5], references)]
    assert half.bleu == pytest.approx(100 * math.exp(1 - words[1] / words[0]))


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (["a", "b"], ["a"], r"`predictions` has 2 sentences and `references` 1: give a reference"),
        (["a"], "a", r"`predictions` has 1 sentences and `references` are 'a': give a reference"),
        (["a"], None, r"`predictions` has 1 sentences and `references` are None"),
        (["a"], iter("a"), r"`predictions` has 1 sentences and `references` are <str"),
        ("a", ["a"], r"`predictions` is 'a': give a list"),
        (None, ["a"], r"`predictions` is None: give a list"),
        (iter("a"), ["a"], r"`predictions` is <str.*: give a list"),
        (["a"], [None], r"`references\[0\]` is None: give a list"),
        ([], [], r"`predictions` is empty"),
        (["a", None], ["a", "b"], r"`predictions` has None at 1: give texts"),
        ([[3, 4]], ["a"], r"`predictions` has \[3, 4\] at 0: give texts, decoded"),
        (["a", "b"], [["a"], []], r"`references` has none at 1"),
        (["a"], [["a", 7]], r"`references\[0\]` has 7 at 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(predictions, references, message):
    with pytest.raises(ValueError, match=message):
        translation_scores(predictions, references, "en")


def test_languages():
    codes = {
        "de": "13a",
        "ja": "ja-mecab",
        "jpn": "ja-mecab",
        "ko": "ko-mecab",
        "zh-TW": "zh",
        "cmn": "zh",
        "km": "char",
    }
    assert {code: bleu_tokenizer(code) for code in codes} == codes
    for name in ("chinese", "", "z", "zh/en"):
        with pytest.raises(ValueError, match=f"`language` is '{name}': give the ISO 639 code"):
            bleu_tokenizer(name)
    with pytest.raises(ValueError, match=r"`tokenize` is 'words': choose from \['13a'"):
        translation_scores(["a"], ["a"], "en", tokenize="words")


def test_what_is_missing_is_named(monkeypatch):
    """At once, and not by the first evaluation of a training."""
    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    for build in (lambda: translation_scores(["猫"], ["猫"], "ja"), lambda: make_translation_metrics(None, "ja")):
        with pytest.raises(ImportError, match=r"'ja-mecab' .* language 'ja', .*: `pip install \"sacrebleu\[ja\]\"`"):
            build()
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    for build in (lambda: translation_scores(["a"], ["a"], "en"), lambda: make_translation_metrics(None, "en")):
        with pytest.raises(ImportError, match=r"need sacrebleu: `pip install sacrebleu`"):
            build()


def test_bootstrap_is_that_of_whole_texts_drawn_again():
    """Sentences drawn by the generator that sacrebleu names in its signature, scored as any other text."""
    references = sentences(40, seed=1)
    better, worse = (damaged(references, seed=2, share=share) for share in (0.3, 0.35))
    compared = compare_translations(better, worse, references, "en", samples=60)
    draws = np.random.default_rng(12345).choice(40, size=(60, 40))
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        found = compared[name]
        scores = [metric.corpus_score(texts, [references]).score for texts in (better, worse)]
        assert [found.score, found.baseline] == pytest.approx(scores)
        assert "bs:60|seed:12345" in found.signature
        drawn = np.array(
            [
                [metric.corpus_score([texts[i] for i in row], [[references[i] for i in row]]).score for row in draws]
                for texts in (better, worse)
            ]
        )
        gaps = abs(drawn[0] - drawn[1])
        extreme = (gaps - gaps.mean() > abs(scores[0] - scores[1])).sum()
        assert found.p_value == pytest.approx((extreme + 1) / 61)
        assert found.interval == pytest.approx(np.diff(np.sort(drawn[0])[[1, 58]])[0] / 2, rel=1e-3)


def test_a_system_does_not_differ_from_itself():
    references = sentences(30, seed=1)
    texts = damaged(references, seed=2, share=0.3)
    assert all(
        found.p_value == 1 for found in compare_translations(texts, texts, references, "en", samples=20).values()
    )
    far = compare_translations(references, texts, references, "en", samples=50)
    assert all(found.p_value < 0.05 for found in far.values())
    with pytest.raises(ValueError, match="`baseline` has 29 sentences and `references` 30"):
        compare_translations(texts, texts[:-1], references, "en")
    with pytest.raises(ValueError, match="`samples` is 0"):
        compare_translations(texts, texts, references, "en", samples=0)


# In `Seq2SeqTrainer`.


@pytest.fixture(scope="module")
def tokenizer():
    return LSTMTokenizer.train_from_iterator(ENGLISH, "bpe", vocab_size=300, add_eos_token=True, show_progress=False)


def padded(rows: list[list[int]], length: int, value: int) -> np.ndarray:
    return np.array([row + [value] * (length - len(row)) for row in rows])


@pytest.mark.parametrize("value", [0, -100])
def test_metrics_of_a_trainer_are_those_of_the_texts(tokenizer, value):
    """Whatever both are padded with, whatever special tokens are in them, in one array or batch by batch."""
    references, predictions = ENGLISH[:3], ["A cat sat on a mat.", "", "The dog saw a dog."]
    labels, ids = (tokenizer(texts)["input_ids"] for texts in (references, predictions))
    ids = [[tokenizer.bos_token_id, *row] for row in ids]
    metrics, expected = make_translation_metrics(tokenizer, "en"), translation_scores(predictions, references, "en")
    wanted = {"bleu": expected.bleu, "chrf": expected.chrf, "length_ratio": expected.length_ratio}
    assert metrics(EvalPrediction(padded(ids, 30, value), padded(labels, 25, value))) == wanted
    batches = [[padded(rows[:2], 28, value), padded(rows[2:], 26, value)] for rows in (ids, labels)]
    assert metrics(EvalPrediction(*batches)) == wanted
    cased = make_translation_metrics(tokenizer, "en", lowercase=True, tokenize="char")
    upper = padded(tokenizer([text.upper() for text in references])["input_ids"], 80, value)
    assert cased(EvalPrediction(upper, padded(labels, 25, value)))["bleu"] == pytest.approx(100)


def test_metrics_without_generation_are_refused(tokenizer):
    metrics, labels = make_translation_metrics(tokenizer, "en"), np.array([[5, 6, 3]])
    for predictions, got in ((np.ones((1, 3, 9)), r"shape \(1, 3, 9\), float64"), ((labels, labels), "tuple")):
        with pytest.raises(ValueError, match=rf"one is of {got}: use `Seq2SeqTrainer` with `predict_with_generate"):
            metrics(EvalPrediction(predictions, labels))


class TranslationTrainer(CardTrainer, Seq2SeqTrainer):
    """As the docstring of `CardTrainer` says."""


def test_in_a_trainer_and_its_card(tmp_path):
    """Batches are of different lengths; the card begins with what the head is judged by."""
    tokenizer = LSTMTokenizer.train_from_iterator(ENGLISH, "word", add_eos_token=True, show_progress=False)
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    options = {"hidden_size": 8, "initializer": "uniform", "initializer_range": 1.0}
    options |= {name: getattr(tokenizer, name) for name in names}
    part = GRUConfig(vocab_size=len(tokenizer), **options)
    config = RecurrentEncoderDecoderConfig(encoder=part, decoder=part)
    model = RecurrentEncoderDecoderForConditionalGeneration(config).eval()
    model.generation_config.max_length = 12
    rows = [tokenizer(source, text_target=target) for source, target in zip(ENGLISH, ENGLISH[::-1], strict=True)]
    options = {"per_device_eval_batch_size": 2, "report_to": "none", "use_cpu": True, "disable_tqdm": True}
    trainer = TranslationTrainer(
        model,
        Seq2SeqTrainingArguments(str(tmp_path), predict_with_generate=True, **options),
        DataCollatorForSeq2Seq(tokenizer),
        eval_dataset=rows,
        processing_class=tokenizer,
        compute_metrics=make_translation_metrics(tokenizer, "en"),
    )
    found = trainer.evaluate()
    output = [model.generate(torch.tensor([row["input_ids"]]), max_length=12)[0] for row in rows]
    texts = tokenizer.batch_decode(output, skip_special_tokens=True)
    expected = translation_scores(texts, ENGLISH[::-1], "en")
    assert len(set(texts)) > 2 and expected.chrf > 1
    assert found["eval_chrf"] == pytest.approx(expected.chrf) and found["eval_bleu"] == pytest.approx(expected.bleu)
    assert found["eval_length_ratio"] == pytest.approx(expected.length_ratio)
    trainer.create_model_card(language=["en", "de"])
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.pipeline_tag == "translation" and card.data.metrics[0] == "bleu" and "chrf" in card.data.metrics
    assert f"| bleu | evaluation | {expected.bleu:.4f} |" in card.text


def test_measurements_for_a_card():
    scores = translation_scores(CHINESE, CHINESE[::-1], "zh")
    bleu, chrf = translation_measurements(scores, "test")
    assert (bleu.metric, bleu.value, bleu.split, bleu.of) == ("bleu", scores.bleu, "test", None)
    assert (chrf.metric, chrf.value) == ("chrf", scores.chrf)
    assert scores.bleu_signature in bleu.label and scores.chrf_signature in chrf.label
    assert {each.of for each in translation_measurements(scores, "test", of="translation memory")} == {
        "translation memory"
    }


# The translation memory.


def cosines_slowly(sources: list[str], text: str, orders: int, cut) -> list[float]:
    """By dictionaries."""

    def grams(text):
        symbols = cut(text)
        return Counter(tuple(symbols[i : i + n]) for n in range(1, orders + 1) for i in range(len(symbols) - n + 1))

    having = Counter(gram for source in sources for gram in set(grams(source)))
    idf = {gram: 1 + math.log((1 + len(sources)) / (1 + count)) for gram, count in having.items()}

    def vector(text):
        weights = {gram: count * idf[gram] for gram, count in grams(text).items() if gram in idf}
        norm = math.sqrt(sum(weight**2 for weight in weights.values()))
        return {gram: weight / norm for gram, weight in weights.items()}

    query = vector(text)
    return [sum(query.get(gram, 0) * weight for gram, weight in vector(source).items()) for source in sources]


@pytest.mark.parametrize("orders", [1, 2, 4])
@pytest.mark.parametrize("joint", [" ", ""])
def test_memory_finds_what_a_slow_search_finds(orders, joint):
    sources = [*sentences(60, seed=1, joint=joint), "", *CHINESE]
    texts = [*sentences(25, seed=2, joint=joint), "猫坐着。", "£", "", "the £ cat", sources[7], "𝔸 cat"]
    found, near = TranslationMemory(sources, sources, orders).nearest(texts)
    for i, text in enumerate(texts):
        both = zip(*(cosines_slowly(sources, text, orders, cut) for cut in (list, split_words)), strict=True)
        means = [round(sum(pair) / 2, 12) for pair in both]
        assert near[i] == pytest.approx(max(means), abs=1e-11)
        assert found[i] == means.index(max(means)) or near[i] == 0
    assert near[-2] == pytest.approx(1) and sources[found[-2]] == sources[7]


def cosines_of_scikit_learn(sources: list[str], texts: list[str]) -> np.ndarray:
    """Of n-grams of characters and of words, their mean."""

    def words(text):
        symbols = split_words(text)
        return [tuple(symbols[i : i + n]) for n in range(1, 5) for i in range(len(symbols) - n + 1)]

    total = 0
    for options in ({"analyzer": "char", "ngram_range": (1, 4)}, {"analyzer": words}):
        vectors = TfidfVectorizer(lowercase=False, **options)
        total = total + (vectors.fit_transform(sources) @ vectors.transform(texts).T).toarray() / 2
    return total


def test_memory_weighs_as_scikit_learn_does():
    sources, texts = sentences(80, seed=3), sentences(30, seed=4)
    cosines = cosines_of_scikit_learn(sources, texts)
    found, near = TranslationMemory(sources, sources).nearest(texts)
    assert near == pytest.approx(cosines.max(0)) and cosines[found, range(30)] == pytest.approx(cosines.max(0))


def test_memory_translates():
    memory = TranslationMemory([*ENGLISH, ENGLISH[0]], [*CHINESE, "another one"])
    assert memory.translate(ENGLISH) == CHINESE  # of two translations of one text the first
    assert memory.translate(["Two cats ran home.", "", "ПРИВЕТ"]) == [CHINESE[1], "", ""]
    assert memory.translate([]) == []
    back = TranslationMemory(CHINESE, ENGLISH)
    assert back.translate(["三只狗跑回家了。"]) == [ENGLISH[1]]


def test_memory_refuses():
    with pytest.raises(ValueError, match="`sources` has 2 texts and `targets` 1"):
        TranslationMemory(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="`max_order` is 0"):
        TranslationMemory(["a"], ["c"], max_order=0)
    for sources in ([], ["", ""]):
        with pytest.raises(ValueError, match=f"`sources` has {len(sources)} texts without a character"):
            TranslationMemory(sources, sources)


def test_memory_of_multi30k(shared_data):
    """In test sentences, and against training sentences that scikit-learn finds."""
    folder = shared_data / "multi30k" / "raw"

    def lines(name):
        with gzip.open(folder / name, "rt", encoding="utf-8") as file:
            return file.read().splitlines()

    sources, targets, texts = lines("train.en.gz")[:3000], lines("train.de.gz")[:3000], lines("val.en.gz")[:100]
    cosines = cosines_of_scikit_learn(sources, texts)
    assert TranslationMemory(sources, targets).translate(texts) == [targets[i] for i in cosines.argmax(0)]


# Alignments and pictures.


def test_alignments_by_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    source, target = [None, 0, 0, 2, 1, None, None], [0, 0, 1, None, 2, 2]  # words in any order, padding anywhere
    for heads in (1, 3):
        weights = torch.rand(heads, 6, 7, generator=generator).softmax(-1)
        expected = []
        for word in (0, 1, 2):
            sums = Counter()
            for t, row in enumerate(target):
                for s, column in enumerate(source):
                    if row == word and column is not None:
                        sums[column] += weights[:, t, s].sum().item()
            expected.append((max(sums, key=sums.get), word))
        assert alignments(weights, source, target) == expected
        assert alignments(weights.numpy(), source, target) == expected
        assert alignments(weights.requires_grad_().double(), source, target) == expected
        tokens = alignments(weights)
        assert tokens == [(int(weights.sum(0)[t].argmax()), t) for t in range(6)]
    assert alignments(weights[0].bfloat16().detach(), source, target)


def test_words_that_looked_at_nothing_are_not_aligned():
    weights = np.array([[0.6, 0.4, 0.0], [0.0, 0.0, 1.0], [np.nan] * 3])  # at `</s>` alone; a row of padding
    assert alignments(weights, [0, 1, None], [0, 1, None]) == [(0, 0)]
    assert alignments(weights, [None] * 3, [0, 1, None]) == []
    assert alignments(weights[:0], [0, 1, None], []) == []
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1" and pharaoh([]) == ""


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((2, 3), (4, 2), r"\(2, 3\), 3 source tokens, but 4 are given"),
        ((5, 2, 3), (3, 1), r"\(5, 2, 3\), 2 target tokens, but 1 are given"),
        ((1, 5, 2, 3), (3, 2), r"\(1, 5, 2, 3\): give those of one pair"),
    ],
)
def test_attention_of_another_shape_is_refused(shape, lengths, message, tmp_path):
    with pytest.raises(ValueError, match=f"`weights` has the shape {message}"):
        alignments(np.ones(shape), range(lengths[0]), range(lengths[1]))
    tokens = [["x"] * length for length in lengths]
    with pytest.raises(ValueError, match=f"`weights` has the shape {message}"):
        plot_attention(np.ones(shape), *tokens, tmp_path / "none.png")


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "unigram", "wordpiece"])
def test_words_of_tokens_are_those_of_their_offsets(kind):
    options = {"split_punctuation": False} if kind == "word" else {}
    texts = ["No café in Zürich serves unbelievable tea", "the cat sat  on the mat"]
    tokenizer = LSTMTokenizer.train_from_iterator(
        texts * 3, kind, vocab_size=300, add_eos_token=True, show_progress=False, **options
    )
    for text in [texts[0], "tea sat in the café", "x"]:
        encoded = tokenizer(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        expected = []
        for token, (start, end) in zip(ids, offsets, strict=True):
            begin = start + len(text[start:end]) - len(text[start:end].lstrip())
            blank = token in tokenizer.all_special_ids or not tokenizer.decode([token]).strip()
            expected.append(None if blank else text[:begin].count(" "))
        if tokenizer.unk_token_id not in ids:
            assert words_of_tokens(ids, tokenizer) == expected
    assert words_of_tokens([0, 0, 2, 3], tokenizer) == [None] * 4


def test_words_of_chinese_are_its_characters():
    assert split_words("我是 Tom。\u3000好 吗？") == ["我", "是", "Tom", "。", "好", "吗", "？"]
    assert split_words(" a  b-c.\n") == ["a", "b-c."]
    tokenizer = LSTMTokenizer.train_from_iterator(CHINESE, "bpe", add_eos_token=True, show_progress=False)
    ids = tokenizer("猫来了。")["input_ids"]  # some characters are several bytes apart
    cut = words_of_tokens([*ids[:2], tokenizer.eos_token_id], tokenizer)
    assert cut == [0, 0, None] and "\ufffd" in tokenizer.decode(ids[:2])
    words = words_of_tokens(ids, tokenizer)
    assert words[-1] is None and sorted(set(words[:-1])) == [0, 1, 2, 3] and words[:-1] == sorted(words[:-1])


def bundled(monkeypatch) -> None:
    """Only the fonts that come with matplotlib, which have no Chinese."""
    fonts = pytest.importorskip("matplotlib.font_manager").fontManager
    monkeypatch.setattr(fonts, "ttflist", [font for font in fonts.ttflist if "mpl-data" in font.fname])


def test_pictures_of_attention(tmp_path, monkeypatch):
    """None shows a box where a letter should be: matplotlib would warn of it."""
    bundled(monkeypatch)
    source, target = ["The", "$cat", r"$\no$", "</s>"], [*CHINESE[0], r"$\math$", "\U00020000", "</s>"]
    weights = torch.rand(len(target), 4).softmax(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, given in {"one": weights, "heads": weights.expand(3, -1, -1), "array": weights.numpy()}.items():
            plot_attention(given, source, target, tmp_path / f"{name}.png", r"猫 $\a$")
            assert (tmp_path / f"{name}.png").read_bytes().startswith(PICTURE)
        plot_gates(CHINESE[0], {"f": np.random.rand(len(CHINESE[0]), 5)}, tmp_path / "gates.png")
        with open(tmp_path / "file.png", "wb") as file:
            plot_attention(weights, source, target, file)
    with pytest.raises(ValueError, match=r"shape \(1, 0, 4\): give at least one head"):
        plot_attention(weights[:0], source, [], tmp_path / "none.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_attention(weights, source, target, tmp_path / "none.png")


def test_rows_are_target_tokens(monkeypatch, tmp_path):
    """What stands where, as the picture is drawn."""
    figures, weights = [], np.arange(6.0).reshape(2, 3) / 6
    new_figure = plotting.new_figure
    monkeypatch.setattr(plotting, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1])
    plot_attention(weights, ["a", "b", "c"], ["x", "y"], tmp_path / "picture.svg")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    assert axes.images[0].get_array().data == pytest.approx(weights)
    assert axes.yaxis_inverted()  # the first row on top
    assert figures[0].axes[-1].get_ylim() == (0, 1)


def test_fonts_that_have_what_others_lack(monkeypatch, caplog):
    bundled(monkeypatch)
    from matplotlib import rcParams

    default = rcParams["font.family"]
    assert legible(["abc ", "é\n"]) == (["abc ", "é\n"], {"fontfamily": default})
    monkeypatch.setattr(plotting.logger, "propagate", True)
    labels, font = legible(["\u1d81 a"])  # STIX has it, DejaVu Sans has not
    assert (labels, font) == (["\u1d81 a"], {"fontfamily": [*default, "STIXGeneral"]}) and not caplog.records
    labels, font = legible(["你a", "\u1d81好", "\U00020000"])
    assert labels == ["\\u4f60a", "\u1d81\\u597d", "\\U00020000"] and font["fontfamily"][-1] == "STIXGeneral"
    (record,) = caplog.records
    assert "No font of this machine has 你 好 \U00020000" in record.message and "Noto Sans CJK" in record.message


# The example.


def run_example(*line) -> None:
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "evaluate_translation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(part) for part in line])


def test_example(tmp_path, capsys):
    """Files plain and gzipped, two references, another system and the memory; and all of it as json."""
    first, second = sentences(12, seed=1), sentences(12, seed=2)
    texts = {"a.en": first, "b.en": second, "out.en": damaged(first, 3, 0.2), "old.en": damaged(first, 3, 0.6)}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with gzip.open(tmp_path / "c.en.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(second))
    files = {name: tmp_path / name for name in (*texts, "c.en.gz")}
    line = ["--reference_file", files["a.en"], files["c.en.gz"], "--language", "en", "--samples", 20]
    line += ["--predictions_file", files["out.en"], "--results_file", tmp_path / "scores.json"]
    memory = ["--memory_source_file", files["b.en"], "--memory_target_file", files["a.en"]]
    run_example(*line, "--baseline_file", files["old.en"], *memory, "--source_file", files["b.en"])
    output, saved = capsys.readouterr().out, json.loads((tmp_path / "scores.json").read_text())
    references = list(zip(first, second, strict=True))
    for name, lines in {
        "predictions": texts["out.en"],
        "baseline": texts["old.en"],
        "translation memory": first,
    }.items():
        scores = translation_scores(lines, references, "en")
        assert saved["scores"][name]["bleu"] == scores.bleu and f"{name}\n{scores}\n" in output
    compared = compare_translations(texts["out.en"], texts["old.en"], references, "en", samples=20)
    assert saved["compared"]["baseline"]["chrf"]["p_value"] == compared["chrf"].p_value
    assert (
        set(saved["compared"]) == {"baseline", "translation memory"}
        and f"p = {compared['bleu'].p_value:.4f}" in output
    )

    (tmp_path / "short.en").write_text("one line\n")
    with pytest.raises(ValueError, match=r"`reference_file` has files of \[12, 1\] lines"):
        run_example("--reference_file", files["a.en"], tmp_path / "short.en", *line[3:])
    with pytest.raises(ValueError, match="The memory needs all of"):
        run_example(*line, *memory)
    with pytest.raises(ValueError, match="`predictions_file` is None"):
        run_example("--reference_file", files["a.en"], "--language", "en")
