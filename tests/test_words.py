# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""A tokenizer that learnt from given words cuts an ordinary text as they are cut, and leaves given words whole."""

import pickle
import threading
import time

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_lstm import LSTMTokenizer


NEWS = [
    "J. Smith of Acme Corp. met Mr. O'Brien in the U.S. on 1996-08-22 .",
    "It 's Reuters ' long-term view , he did n't say .",
    "They lost 6-3 , and 1,000 fans paid $ 2.50 , 5 % more ...",
    "' We 're late , ' she said -- at 10:30 a.m. , for US$ 3 .",
    "The corp and the mr of it .",
]
WEB = [  # hyphens and clitics apart, names and tags of a network whole
    "@user likes #cats :) and well - known dogs",
    "see http://example.com/a?b=1 or mail me@example.org , it's ok :)",
    "don't be the low - cost or high - end one , #1 @user",
]


def trained(sentences, **options) -> LSTMTokenizer:
    words = [sentence.split() for sentence in sentences]
    return LSTMTokenizer.train_from_iterator(words, "word", is_split_into_words=True, show_progress=False, **options)


def words_of(tokenizer, text: str) -> list[str]:
    return [text[start:end] for start, end in tokenizer(text, return_offsets_mapping=True)["offset_mapping"]]


@pytest.mark.parametrize("options", [{}, {"lowercase": True, "fold_digits": True}], ids=["as it is", "folded"])
@pytest.mark.parametrize(
    ("corpus", "text", "words"),
    [
        (NEWS, "Mr. Jones left the U.S. for London.", "Mr. Jones left the U.S. for London ."),
        (NEWS, 'He (A. Dale, 69) doesn\'t say: "no".', 'He ( A. Dale , 69 ) does n\'t say : " no " .'),
        (NEWS, "We're 10-year-olds, it's ours!", "We 're 10-year-olds , it 's ours !"),
        (NEWS, "O'Hara's U.S.-led team won 7-5...", "O'Hara 's U.S.-led team won 7-5 ..."),
        (NEWS, "On 2001-09-11, 2,500 of $3.75 at 9:45", "On 2001-09-11 , 2,500 of $ 3.75 at 9:45"),
        (NEWS, "20% more -- for US$5.", "20 % more -- for US$ 5 ."),
        (NEWS, "Müller’s café, São Paulo?", "Müller ’s café , São Paulo ?"),
        (WEB, "low-cost :) @me #x!", "low - cost :) @me #x !"),
        (WEB, "they don't: http://a.org/b.", "they don't : http://a.org/b ."),
        (["中 国 人 在 北 京 。"], "北京2008，中国。", "北 京 2 0 0 8 ， 中 国 。"),
    ],
)
def test_a_text_is_cut_as_the_words_were(corpus, text, words, options):
    assert words_of(trained(corpus, **options), text) == words.split()


@pytest.mark.parametrize("corpus", [NEWS, WEB], ids=["news", "web"])
def test_words_joined_by_blanks_come_apart_at_the_blanks(corpus):
    """Also words that nobody would make of an ordinary text, in a sentence with a full stop or a comma of its own."""
    tokenizer = trained(corpus)
    for sentence in [*corpus, "Videoton(* of 1=80 , T.O'Gorman vs.X 6- oOo----- ."]:
        assert words_of(tokenizer, sentence) == sentence.split()


def test_a_stray_blank_before_a_comma_does_not_make_a_text_one_that_was_cut():
    tokenizer = trained([*NEWS, 'Ada ( London ) likes " Paris " .'])
    text = 'Ada lives in London. She (Ada) likes "Paris", not U.S. , too.'
    words = 'Ada lives in London . She ( Ada ) likes " Paris " , not U.S. , too .'
    assert " ".join(words_of(tokenizer, text)) == words


def test_given_words_stay_whole():
    tokenizer = trained(NEWS, characters=True, word_shapes=True)
    odd = ["London.", "U.S.", "well-known,", "San Francisco", "", " ", "(a)", "don't"]
    encoded = tokenizer([odd], is_split_into_words=True)
    assert encoded.word_ids(0) == [0, 1, 2, 3, 6, 7]
    known = tokenizer.get_vocab()
    expected = [known.get(word, tokenizer.unk_token_id) for word in odd if word.strip()]
    assert encoded["input_ids"][0] == expected
    assert [len(row) for row in encoded["char_ids"][0]] == [len(word) for word in odd if word.strip()]


def test_every_word_of_the_corpus_has_its_id():
    tokenizer = trained(NEWS, lowercase=True, fold_digits=True)
    for sentence in NEWS:
        ids = tokenizer(sentence.split(), is_split_into_words=True)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert ids == tokenizer(sentence)["input_ids"]


def test_it_is_in_the_file(tmp_path):
    """Who loads it without this package cuts texts alike."""
    tokenizer, text = trained(NEWS), "Mr. O'Brien didn't visit London, U.S., in 1996."
    tokenizer.save_pretrained(tmp_path)
    expected = words_of(tokenizer, text)
    for loaded in (AutoTokenizer.from_pretrained(tmp_path), PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        assert words_of(loaded, text) == expected
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded(["London.", "U.S."], is_split_into_words=True)["input_ids"]) == 2
    assert pickle.dumps(loaded) == pickle.dumps(AutoTokenizer.from_pretrained(tmp_path))
    again = loaded.train_new_from_iterator([sentence.split() for sentence in WEB], 100, show_progress=False)
    assert words_of(again, "low-cost :)") == ["low", "-", "cost", ":)"]
    assert len(again(["London.", "U.S."], is_split_into_words=True)["input_ids"]) == 2


def test_texts_and_words_in_several_threads():
    """Given words and texts are cut in two ways by one tokenizer."""
    tokenizer, wrong = trained(NEWS), []

    def work(words: bool):
        for _ in range(300):
            length = len(tokenizer(["London."] if words else "London.", is_split_into_words=words)["input_ids"])
            if length != 2 - words:
                wrong.append(length)

    threads = [threading.Thread(target=work, args=(bool(i % 2),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_long_texts_take_linear_time():
    tokenizer = trained(NEWS)

    def seconds(text: str) -> float:
        start = time.process_time()
        tokenizer(text)
        return time.process_time() - start

    for text in (
        "Word after word, and no end " * 400,
        "x" * 10_000,
        "." * 10_000,
        ".-" * 5_000,
        "a1." * 3_000,
        "a-" * 5_000,
        "1," * 5_000,
        "'s" * 5_000,
    ):
        seconds(text)
        assert seconds(text * 4) < 12 * seconds(text) + 0.2  # fmt: skip


def test_invisible_marks_alone_are_no_words():
    for corpus in (["Ada sang ."], ["Ada sang ..."]):
        assert trained(corpus).tokenize("Ada\u200b \u00ad\u200b\u200b sang") == ["Ada", "sang"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"`iterator` holds 'A text\.', but with `is_split_into_words=True`"):
        LSTMTokenizer.train_from_iterator(["A text."], "word", is_split_into_words=True)
    with pytest.raises(ValueError, match='`is_split_into_words` is True, but `kind="bpe"` has no such option'):
        LSTMTokenizer.train_from_iterator([["A"]], "bpe", is_split_into_words=True)
    with pytest.raises(ValueError, match="`split_punctuation` is False with `is_split_into_words=True`"):
        LSTMTokenizer.train_from_iterator([["A"]], "word", is_split_into_words=True, split_punctuation=False)
