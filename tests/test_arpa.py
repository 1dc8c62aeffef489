# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Files of n-gram models: by hand, there and back, damaged; and models of words against slow dictionaries."""

import gzip
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from hf_lstm.evaluation.ngram import FALLBACK_DISCOUNTS, NgramModel
from hf_lstm.evaluation.word_scoring import KenlmScorer, NgramScorer


# A back-off model by hand, with the text before `\data\` that SRILM allows, blanks in place of tabs, and empty lines.
BY_HAND = r"""made by hand

\data\
ngram 1=5
ngram 2=3
ngram 3=1

\1-grams:
-99 <s> -0.2
-0.5 </s>
-1.0	<unk>
-0.7 call -0.3
-0.4 me -0.1

\2-grams:
-0.25 <s> call -0.15
-0.35 call me -0.05
-0.2 me </s>

\3-grams:
-0.125 <s> call me

\end\
"""
TEXT = [
    "call me at nine", "call me at ten", "call me", "nine", "call him at nine or ten", "do not call me", "not at nine",
    "do call him", "me", "ten or nine", "do it at ten", "it is nine", "is it ten", "call it nine",
]  # fmt: skip


def test_by_hand(tmp_path):
    (tmp_path / "lm.arpa").write_text(BY_HAND)
    scorer = NgramScorer(NgramModel.from_arpa(tmp_path / "lm.arpa"))
    expected = {
        "call me": -0.25 - 0.125 + (-0.05 - 0.2),  # the end: <call me> backs off to <me </s>>
        "me": (-0.2 - 0.4) + (-0.2),
        "call you": -0.25 + (-0.15 - 0.3 - 1.0) + (-0.5),  # behind <unk> nothing has a weight
        "call call": -0.25 + (-0.15 - 0.3 - 0.7) + (-0.3 - 0.5),
        "": -0.2 - 0.5,
    }
    for text, log10 in expected.items():
        assert scorer.log_prob(text) == pytest.approx(log10 * math.log(10)), text
    words = [word for text in expected for word in [*text.split(), "</s>"]]
    perplexity = 10 ** (-sum(expected.values()) / len(words))
    assert scorer.perplexity(expected) == pytest.approx(perplexity)


class SlowSentences:
    """
    Heafield et al. (2013), section 3, term by term: counts of the text at the highest order and behind `<s>`, numbers
    of distinct tokens in front elsewhere; `<s>` has no part in the unigrams, `<unk>` the share of the uniform
    distribution.
    """

    def __init__(self, sentences: list[str], order: int):
        self.order = order
        texts = [("<s>", *sentence.split(), "</s>") for sentence in sentences]
        self.words = {word for text in texts for word in text} | {"<unk>"}
        self.counts = {}
        for n in range(1, order + 1):
            fronts, counts = defaultdict(set), Counter()
            for text in texts:
                for i in range(len(text) - n + 1):
                    gram = text[i : i + n]
                    if n == order or i == 0:
                        counts[gram] += 1
                    else:
                        fronts[gram].add(text[i - 1])
            counts.update({gram: len(front) for gram, front in fronts.items()})
            if n == 1:
                counts.pop(("<s>",), None)
            self.counts[n] = counts

    def discount(self, n: int, count: int) -> float:
        of = Counter(self.counts[n].values())
        values = FALLBACK_DISCOUNTS
        if of[1] and of[2] and of[3]:
            y = of[1] / (of[1] + 2 * of[2])
            found = [k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3)]
            values = found if all(0 < value < k for k, value in enumerate(found, start=1)) else values
        return values[min(count, 3) - 1]

    def prob(self, gram: tuple[str, ...]) -> float:
        n = len(gram)
        if n == 0:
            return 1 / (len(self.words) - 1)
        followers = {g: count for g, count in self.counts[n].items() if g[:-1] == gram[:-1]}
        lower = self.prob(gram[1:])
        if not followers:
            return lower
        total = sum(followers.values())
        gamma = sum(self.discount(n, count) for count in followers.values()) / total
        count = followers.get(gram, 0)
        return (count - (self.discount(n, count) if count else 0)) / total + gamma * lower

    def log_prob(self, sentence: str) -> float:
        text = ["<s>", *(word if word in self.words else "<unk>" for word in sentence.split()), "</s>"]
        return sum(math.log(self.prob(tuple(text[max(0, i - self.order + 1) : i + 1]))) for i in range(1, len(text)))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_sentences_equal_the_slow_reference(order):
    scorer, slow = NgramScorer(NgramModel.of_sentences(TEXT, order)), SlowSentences(TEXT, order)
    for sentence in [*TEXT, "", "nine me at", "call you at nine", "me me me me me"]:
        assert scorer.log_prob(sentence) == pytest.approx(slow.log_prob(sentence), abs=1e-10)


@pytest.mark.parametrize("order", [1, 3])
def test_probabilities_sum_to_one(order):
    model = NgramModel.of_sentences(TEXT, order)
    scorer, state = NgramScorer(model), NgramScorer(model).start()
    for word in [None, "call", "me", "you", "ten"]:
        state = state if word is None else scorer.step(state, word)[1]
        total = sum(math.exp(scorer.step(state, each)[0]) for each in model.words if each != "<s>")
        assert total == pytest.approx(1)


def test_rare_words_and_short_sentences():
    model = NgramModel.of_sentences(["a b", "a", "b a c"], order=3, min_count=2)
    assert model.words == ["<unk>", "<s>", "</s>", "a", "b"]
    scorer = NgramScorer(model)
    assert scorer.log_prob("b a c") == scorer.log_prob("b a d") > scorer.log_prob("c c a")
    assert NgramScorer(model, unknown=-2.0).log_prob("c") == pytest.approx(scorer.log_prob("c") - 2)
    one = NgramModel.of_sentences(["a", "b"], order=6)
    assert one.order == 3 and math.isfinite(NgramScorer(one).log_prob("b a"))


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_there_and_back(tmp_path, name, order):
    model = NgramModel.of_sentences(TEXT, order)
    model.to_arpa(tmp_path / name)
    again = NgramModel.from_arpa(tmp_path / name)
    assert again.words == model.words and again.order == model.order
    scorers = NgramScorer(model), NgramScorer(again)
    for sentence in [*TEXT, "", "nine me at", "call you at nine"]:
        one, other = (scorer.log_prob(sentence) for scorer in scorers)
        assert other == pytest.approx(one, abs=1e-7)
    again.to_arpa(tmp_path / f"2{name}")
    third = NgramScorer(NgramModel.from_arpa(tmp_path / f"2{name}"))
    assert third.log_prob("do call me at nine") == pytest.approx(scorers[0].log_prob("do call me at nine"), abs=1e-7)
    size = len((tmp_path / name).read_bytes())
    model.to_arpa(tmp_path / name)
    assert size == len((tmp_path / name).read_bytes())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_models_of_ids_there_and_back(tmp_path, order):
    """Blocks without `<s>`, as a model of pieces is fitted; their beginnings are no continuation of anything."""
    rng = np.random.default_rng(0)
    blocks = np.cumsum(rng.zipf(1.5, size=(30, 20)) % 8, axis=1) % 9
    model = NgramModel(vocab_size=9, order=order).fit(blocks)
    model.to_arpa(tmp_path / "lm.arpa", words=[f"w{i}" for i in range(9)])
    again = NgramModel.from_arpa(tmp_path / "lm.arpa")
    test = rng.integers(0, 9, size=(20, 10))
    np.testing.assert_allclose(again.log_prob(test), model.log_prob(test), atol=1e-7)
    np.testing.assert_allclose(again.log_prob(blocks), model.log_prob(blocks), atol=1e-7)


def test_words_may_have_other_blanks(tmp_path):
    words = ["a\u200bb", "é", "字", "\\end", "ngram"]
    model = NgramModel(vocab_size=5, order=2).fit(np.array([[0, 1, 2, 3, 4, 3, 1, 0]]))
    model.to_arpa(tmp_path / "lm.arpa", words=words)
    assert NgramModel.from_arpa(tmp_path / "lm.arpa").words == words


DAMAGED = {
    "no head": (lambda s: s.replace("\\data\\", ""), r"Line 24 .* ends before `\\data\\`"),
    "no end": (lambda s: s.replace("\\end\\\n", ""), "is missing: the file ends"),
    "cut": (lambda s: s[: s.index("-0.35")], "Line 17 .* is missing"),
    "a number": (lambda s: s.replace("-0.35", "-0.3x"), r"Line 17 .* has '-0.3x' where a logarithm"),
    "nan": (lambda s: s.replace("-0.35", "nan"), r"Line 17 .* has 'nan'"),
    "above one": (lambda s: s.replace("-0.35", "0.35"), r"Line 17 .* 10\^0.35, which is above 1"),
    "too few": (lambda s: s.replace("-0.35 call me -0.05", "-0.35 call"), r"Line 17 .* has 2 fields: .* 3 or 4"),
    "too many": (lambda s: s.replace("<s> call me", "<s> call me -0.1"), r"Line 21 .* has 5 fields: a 3-gram has 4\."),
    "unknown": (lambda s: s.replace("call me -0.05", "call you -0.05"), "Line 17 .* has 'you', which is not among"),
    "count": (
        lambda s: s.replace("ngram 2=3", "ngram 2=4"),
        "Line 20 .* 2-grams, of which there are 3, but 4",
    ),
    "twice": (lambda s: s.replace("-0.4 me", "-0.4 call"), "Line 13 .* 'call', which stands there already"),
    "gram twice": (lambda s: s.replace("-0.2 me </s>", "-0.2 call me"), "Line 18 .* that line 17 has too"),
    "order": (lambda s: s.replace("\\2-grams:", "\\3-grams:"), r"Line 15 .* `\\2-grams:` should stand there"),
    "head": (lambda s: s.replace("ngram 2=3\n", ""), "Line 5 .* `ngram 2=` should stand there"),
    "nothing": (lambda _: "", "Line 1 .* is missing"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files(tmp_path, damage):
    change, message = DAMAGED[damage]
    assert change(BY_HAND) != BY_HAND
    (tmp_path / "lm.arpa").write_text(change(BY_HAND))
    with pytest.raises(ValueError, match=message):
        NgramModel.from_arpa(tmp_path / "lm.arpa")


def test_damaged_bytes(tmp_path):
    file = tmp_path / "lm.arpa"
    file.write_bytes(BY_HAND.replace("-0.4 me", "-0.4 m\u00fc").encode("latin-1"))
    with pytest.raises(ValueError, match=r"Line 13 .* is not UTF-8"):
        NgramModel.from_arpa(file)
    NgramModel.of_sentences([f"{a} {b}" for a in range(60) for b in range(60)]).to_arpa(tmp_path / "lm.arpa.gz")
    packed = (tmp_path / "lm.arpa.gz").read_bytes()
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"Line \d\d+ .* cannot be unpacked .* is the file whole"):
        NgramModel.from_arpa(file)
    file.write_bytes(packed[:500] + b"\xff\xff\xff\xff" * 8 + packed[532:])
    with pytest.raises(ValueError, match=r"Line \d+ "):
        NgramModel.from_arpa(file)
    file.write_bytes(gzip.compress(BY_HAND.encode()))
    assert NgramModel.from_arpa(file).order == 3


def test_other_errors(tmp_path):
    blocks = np.array([[0, 1, 2, 0, 1]])
    model = NgramModel(vocab_size=3, order=2)
    with pytest.raises(ValueError, match="was not fitted"):
        model.to_arpa(tmp_path / "lm.arpa", words=["a", "b", "c"])
    model.fit(blocks)
    with pytest.raises(ValueError, match=r"has 0 `words`: .* 3 words"):
        model.to_arpa(tmp_path / "lm.arpa")
    for words, message in [(["a", "b", "a"], "'a', which stands there twice"), (["a", "b c", ""], "'b c', which is")]:
        with pytest.raises(ValueError, match=message):
            model.to_arpa(tmp_path / "lm.arpa", words)
    assert not (tmp_path / "lm.arpa").exists()
    with pytest.raises(ValueError, match="knows no words"):
        NgramScorer(model)
    for sentences in ([], ["", " "]):
        with pytest.raises(ValueError, match="has no word"):
            NgramModel.of_sentences(sentences)
    with pytest.raises(ValueError, match="A word is <s> or </s>"):
        NgramModel.of_sentences(["<s> a"])


def test_kenlm(tmp_path):
    """Of the same file the same probabilities, and from its binary form."""
    kenlm = pytest.importorskip("kenlm", reason="reads our files with KenLM: pip install kenlm")
    model = NgramModel.of_sentences(TEXT, 3)
    model.to_arpa(tmp_path / "lm.arpa")
    ours, theirs = NgramScorer(model), KenlmScorer(tmp_path / "lm.arpa")
    for sentence in [*TEXT, "", "nine me at", "call you at nine"]:
        assert theirs.log_prob(sentence) == pytest.approx(ours.log_prob(sentence), abs=1e-4)
        total = kenlm.Model(str(tmp_path / "lm.arpa")).score(sentence, bos=True, eos=True)
        assert theirs.log_prob(sentence) == pytest.approx(total * math.log(10), abs=1e-4)
    (tmp_path / "damaged").write_text("no model")
    with pytest.raises(ValueError, match="is no model of KenLM"):
        KenlmScorer(tmp_path / "damaged")
