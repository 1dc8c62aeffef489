# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
`Translator`: what it says of a text is what the model does with that text alone, whatever stands beside it; a file
loses no line.
"""

import gzip
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import BertConfig, BertTokenizer, DataCollatorForSeq2Seq, T5Config, T5ForConditionalGeneration
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from hf_lstm import (
    LSTMConfig,
    LSTMForCausalLM,
    LSTMTokenizer,
    RecurrentEncoderDecoderConfig,
    RecurrentEncoderDecoderForConditionalGeneration,
    TranslationTokenizer,
)
from hf_lstm.evaluation import Translator, translator
from hf_lstm.evaluation.alignments import split_words, words_of_spans


SOURCES = ["The cat sat on the mat.", "A dog, too!  It sat; the cat ran.", "the dog ran", "No", "cats sat and ran on"]
TARGETS = ["猫坐在垫子上。", "一只狗也是！它 坐着；猫跑了。", "狗跑 了", "不", "猫坐着跑"]
TEXTS = [*SOURCES, "", "the cat", " \t", "the dog ran", "mat on the sat cat The dog A ran sat the too dog ran on cat"]


def build(encoder: dict, decoder: dict, **fields):
    """A model of random weights."""
    sizes = {"embedding_size": 12, "hidden_size": 16}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    parts = {"encoder": encoder, "decoder": decoder | {"num_hidden_layers": 2, "lm_head_bias": True}}
    parts = {name: LSTMConfig(**(sizes | ids | part)) for name, part in parts.items()}
    config = RecurrentEncoderDecoderConfig(**parts, num_attention_heads=2, **fields)
    return RecurrentEncoderDecoderForConditionalGeneration(config)


@pytest.fixture(scope="module")
def toy():
    """English in words, Chinese in characters, a few pairs by heart; to be left as it is."""
    transformers.set_seed(0)
    pairs = list(zip(SOURCES, TARGETS, strict=True))
    tokenizer = TranslationTokenizer.train_from_iterator(pairs, "word", target_kind="char", show_progress=False)
    model = build({"vocab_size": len(tokenizer)}, {"vocab_size": len(tokenizer.target)})
    rows = [dict(tokenizer(source, text_target=target)) for source, target in pairs]
    batch, optimizer = DataCollatorForSeq2Seq(tokenizer)(rows), torch.optim.AdamW(model.parameters(), lr=0.03)
    for _ in range(60):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return Translator(model, tokenizer)


# A text is translated as it is alone


@torch.no_grad()
def steps(toy: Translator, text: str, ids: list[int]) -> tuple[float, torch.Tensor]:
    """The log-probability of tokens (T,), each after those before it, and the weights (K, T, S), step by step."""
    model, source = toy.model.eval(), toy.tokenizer(text, return_tensors="pt")
    score, weights, target = 0.0, [], [2]
    for token in ids:
        output = model(**source, decoder_input_ids=torch.tensor([target]), output_attentions=True)
        score += output.logits[0, -1].log_softmax(-1)[token].item()
        weights.append(output.cross_attentions[0][0, :, -1])
        target.append(token)
    return score, torch.stack(weights, 1)


def written(toy: Translator, text: str, **options) -> list[list[int]]:
    """The tokens that `generate` writes for one text, the end included."""
    output = toy.model.eval().generate(**toy.tokenizer(text, return_tensors="pt"), **options)
    rows = [row[1:].tolist() for row in output]
    return [row[: row.index(3) + 1] if 3 in row else row for row in rows]


HOW = {
    "greedy": {},
    "greedy, with attention": {},
    "beams": {"num_beams": 3, "length_penalty": 0.6},
    "n-best, with attention": {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.0},
    "beams that end early": {"num_beams": 2, "early_stopping": True, "length_penalty": 2.0},
}


@pytest.mark.parametrize(("name", "how"), HOW.items(), ids=HOW)
def test_a_translation_is_that_of_generate_with_its_probability(toy, name, how):
    looks = name.endswith("with attention")
    number, penalty = how.get("num_return_sequences", 1), how.get("length_penalty", 1.0)
    found = toy(TEXTS, max_new_tokens=12, batch_size=4, attention=looks, **how)
    assert len(found) == len(TEXTS)
    lengths = set()
    for text, translations in zip(TEXTS, found, strict=True):
        translations = translations if number > 1 else [translations]
        assert len(translations) == number
        if not text.strip():
            empty = {"translation_text": "", "score": 0.0, "normalized_score": 0.0}
            assert translations == [empty | ({"attention": None} if looks else {})] * number
            continue
        rows = written(toy, text, max_new_tokens=12, **how)
        for translation, ids in zip(translations, rows, strict=True):
            lengths.add(len(ids))
            score, weights = steps(toy, text, ids)
            assert translation["translation_text"] == toy.tokenizer.decode(ids, skip_special_tokens=True)
            assert translation["score"] == pytest.approx(score, abs=1e-4)
            assert translation["normalized_score"] == pytest.approx(score / len(ids) ** penalty, abs=1e-4)
            if looks:
                torch.testing.assert_close(translation["attention"].weights, weights, atol=1e-5, rtol=0)
    assert 12 in lengths and len(lengths) > 3  # some end, some do not


def test_samples_have_their_own_probability(toy):
    options = {"do_sample": True, "temperature": 2.0, "top_k": 0, "num_return_sequences": 4, "max_new_tokens": 10}
    translations = toy("the cat sat", attention=True, **options)
    assert len({each["translation_text"] for each in translations}) > 1
    for each in translations:
        tokens = each["attention"].target_tokens
        ids = toy.target_tokenizer.convert_tokens_to_ids(tokens)
        assert each["score"] == pytest.approx(steps(toy, "the cat sat", ids)[0], abs=1e-4)
    options |= {"num_beams": 2, "num_return_sequences": 1, "output_scores": True}  # whose scores are of the samples
    with_beams = toy("the cat sat", attention=True, **options)
    ids = toy.target_tokenizer.convert_tokens_to_ids(with_beams["attention"].target_tokens)
    assert with_beams["score"] == pytest.approx(steps(toy, "the cat sat", ids)[0], abs=1e-4)


@pytest.mark.parametrize("limit", [7, None])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_order_batches_and_neighbours_change_nothing(toy, batch_size, limit, monkeypatch):
    """Also where a translation has no end but the limit that the length of its text gives it."""
    monkeypatch.setattr(translator, "WINDOW", 2)
    monkeypatch.setattr(translator, "LENGTHS", 4)
    monkeypatch.setattr(translator, "GROWTH", 3)
    options = {"max_new_tokens": limit, "num_beams": 2}
    alone = [toy(text, **options) for text in TEXTS]
    for found in (
        toy(TEXTS, batch_size=batch_size, **options),
        list(toy(iter(TEXTS), batch_size=batch_size, **options)),
    ):
        assert [each["translation_text"] for each in found] == [each["translation_text"] for each in alone]
        scores = [[each["score"] for each in translations] for translations in (found, alone)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert toy(np.array(TEXTS[:2]).tolist(), **options) == toy(tuple(TEXTS[:2]), **options)
    if limit is None:
        tokens = [
            len(ids) for text in TEXTS if text.strip() for ids in written(toy, text, num_beams=2, max_new_tokens=99)
        ]
        assert max(tokens) > 12


def test_the_usual_limit_grows_with_the_text(toy, caplog):
    """A short text may get 128 tokens; one that is given goes before; `generate` has nothing to warn of."""
    model = build({"vocab_size": len(toy.tokenizer)}, {"vocab_size": len(toy.target_tokenizer)})
    with torch.no_grad():
        model.lm_head.bias[3] = -1e4
    model.generation_config.max_length = 20
    endless = Translator(model, toy.tokenizer)
    texts = ["cat " * 15, "cat " * 16]
    assert [len(toy.tokenizer(text)["input_ids"]) for text in texts] == [16, 17]
    lengths = [len(each["attention"].target_tokens) for each in endless(texts, attention=True)]
    assert lengths == [128, 256]
    for options in ({"max_new_tokens": 5}, {"max_length": 6}):
        assert len(endless("cat", attention=True, **options)["attention"].target_tokens) == 5
    assert not [record for record in caplog.records if "max_length" in record.getMessage()]
    model.generation_config.max_new_tokens = 9
    assert len(endless("cat", attention=True, max_new_tokens=5)["attention"].target_tokens) == 5


def test_a_text_longer_than_any_seen(toy):
    text = " ".join(TEXTS * 20)
    assert len(toy.tokenizer(text)["input_ids"]) > 700
    found = toy(text, num_beams=2, max_new_tokens=6, attention=True)
    ids = written(toy, text, num_beams=2, max_new_tokens=6)[0]
    assert found["translation_text"] == toy.tokenizer.decode(ids, skip_special_tokens=True)
    assert found["attention"].weights.shape == (2, len(ids), len(toy.tokenizer(text)["input_ids"]))


def test_words_that_nobody_knows_are_read(toy):
    """Of a script that was never seen all tokens are unknown, which is not the same as no text."""
    text = "ਪੰਜਾਬੀ ਭਾਸ਼ਾ"
    assert set(toy.tokenizer(text)["input_ids"][:-1]) == {toy.tokenizer.unk_token_id}
    found = toy(text, max_new_tokens=5, attention=True)
    assert found["attention"].weights.shape[2] == len(found["attention"].source_tokens) == 3
    assert found["attention"].source_tokens == [*text.split(), "</s>"]


def test_iterables_are_read_a_few_batches_at_a_time(toy, monkeypatch):
    monkeypatch.setattr(translator, "WINDOW", 2)
    read = []
    texts = (read.append(i) or f"cat {i}" for i in range(1000))
    assert len(list(islice(toy(texts, batch_size=3, max_new_tokens=2), 7))) == 7
    assert len(read) == 12


def test_what_the_folder_says_is_the_default(toy, tmp_path):
    toy.model.generation_config.update(num_beams=3, length_penalty=0.3)
    try:
        for part in (toy.model, toy.tokenizer):
            part.save_pretrained(tmp_path)
    finally:
        toy.model.generation_config.update(num_beams=None, length_penalty=None)
    options = {"num_beams": 3, "length_penalty": 0.3, "max_new_tokens": 12}
    expected = toy(SOURCES, **options)
    assert Translator(tmp_path, device="cpu")(SOURCES, max_new_tokens=12) == expected
    assert Translator(str(tmp_path), trust_remote_code=True)(SOURCES, max_new_tokens=12) == expected


def test_copies_of_the_classes_in_a_folder(toy, tmp_path):
    parts = []
    for part, home in ((toy.model, "modeling_encoder_decoder"), (toy.tokenizer, "tokenization_translation")):
        part.save_pretrained(tmp_path)
        copied = get_class_from_dynamic_module(f"{home}.{type(part).__name__}", tmp_path)
        assert copied is not type(part)
        parts.append(copied.from_pretrained(tmp_path))
    options = {"num_beams": 2, "max_new_tokens": 8, "alignments": True}
    assert Translator(*parts)(SOURCES, **options) == toy(SOURCES, **options)


def test_the_mode_of_the_model_stays(toy):
    model = build(
        {"vocab_size": len(toy.tokenizer), "input_dropout": 0.5}, {"vocab_size": len(toy.target_tokenizer)}
    ).train()
    model.decoder.eval()
    found = [Translator(model, toy.tokenizer)(SOURCES, max_new_tokens=6, attention=True) for _ in range(2)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one["attention"].weights, other["attention"].weights)
    assert model.training and model.encoder.training and not model.decoder.training


# Who looked where


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "unigram", "wordpiece"])
def test_words_of_a_source_are_those_of_the_text(kind):
    """Each token belongs to the word that it is cut from; every word has one, in order."""
    texts = [*SOURCES, "Naïve 你好 世界!", "  two   spaces "]
    options = {"vocab_size": 300, "add_eos_token": True, "show_progress": False}
    tokenizer = LSTMTokenizer.train_from_iterator(texts, kind, **options)
    for text in texts:
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        found, words = words_of_spans(text, offsets), split_words(text)
        assert found[-1] is None and len(found) == len(offsets)
        for (start, end), word in zip(offsets, found, strict=True):
            piece = text[start:end]
            begins = start + len(piece) - len(piece.lstrip())
            assert word == (len(split_words(text[: begins + 1])) - 1 if piece.strip() else None)
        assert kind == "word" or {word for word in found if word is not None} == set(range(len(words)))


def test_alignments_are_of_the_words_that_were_looked_at_most(toy):
    for text in ("The cat sat on the mat.", "A dog, too!  It sat; the cat ran."):
        found = toy(text, num_beams=2, max_new_tokens=12, alignments=True, attention=True)
        weights, source, target = found["attention"]
        words = split_words(text)
        # By a slow loop: the word of a source token from the text, that of a target token is its character.
        looked = {}
        target = [token for token in target if not token.startswith("<")]
        written = split_words(found["translation_text"])
        assert "".join(target).split() == found["translation_text"].split() and all(len(word) == 1 for word in written)
        place, word_of = 0, []
        for token in source[:-1]:
            place = text.index(token, place)
            word_of.append(len(split_words(text[: place + 1])) - 1)
            place += len(token)
        rows = [
            t for t, token in enumerate(found["attention"].target_tokens) if split_words(token) and token in target
        ]
        for number, t in enumerate(rows):
            sums = [0.0] * len(words)
            for s, word in enumerate(word_of):
                sums[word] += weights[:, t, s].sum().item()
            looked[number] = sums.index(max(sums))
        assert found["alignments"] == [(word, number) for number, word in looked.items()]
        assert len(found["alignments"]) == len(written) > 2
    assert toy("", alignments=True)["alignments"] == []


def test_an_encoder_of_somebody_else(tmp_path):
    """It has a tokenizer of its own, with `[CLS]` and `[SEP]`, and reads in lower case."""
    words = sorted(
        {word for text in SOURCES for word in "".join(c if c.isalpha() else " " for c in text.lower()).split()}
    )
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *"!,.;"]
    source = BertTokenizer(vocab={word: i for i, word in enumerate(vocab)})
    target = LSTMTokenizer.train_from_iterator(TARGETS, "char", add_eos_token=True, show_progress=False)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = BertConfig(vocab_size=len(source), max_position_embeddings=40, **sizes)
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    decoder = LSTMConfig(vocab_size=len(target), hidden_size=8, initializer_range=1.0, **ids)
    config = RecurrentEncoderDecoderConfig(encoder=encoder, decoder=decoder)
    source.model_max_length = 40
    translate = Translator(RecurrentEncoderDecoderForConditionalGeneration(config), source, target)
    texts = ["The cat sat on the mat.", "the dog ran"]
    options = {"num_beams": 2, "max_new_tokens": 6, "alignments": True, "attention": True}
    found = translate(texts, **options)
    assert found[0]["attention"].source_tokens == ["[CLS]", "The", "cat", "sat", "on", "the", "mat", ".", "[SEP]"]
    for text, each in zip(texts, found, strict=True):
        inputs = source(text, return_tensors="pt")
        expected = target.decode(translate.model.generate(**inputs, num_beams=2, max_new_tokens=6)[0], True)
        assert each["translation_text"] == expected
        assert all(0 <= word < len(text.split()) for word, _ in each["alignments"])
    with pytest.raises(ValueError, match=r"one of 52 tokens at 1, 'cat cat .*more than the 40 of `model_max_length`"):
        translate(["cat", "cat " * 50], max_new_tokens=2)


def test_a_model_of_somebody_else(toy):
    """One vocabulary for both sides, a target that begins with the padding token, several layers that attend."""
    tokenizer = toy.tokenizer.source
    sizes = {"d_model": 16, "d_ff": 16, "d_kv": 4, "num_layers": 2, "num_heads": 2, "dropout_rate": 0.0}
    ids = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
    config = T5Config(vocab_size=len(tokenizer), attn_implementation="eager", **sizes, **ids)  # which gives weights
    model = T5ForConditionalGeneration(config).eval()
    translate = Translator(model, tokenizer)
    for found, text in zip(translate(TEXTS[:4], max_new_tokens=6, attention=True), TEXTS, strict=False):
        inputs = tokenizer(text, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=6)[0]
        assert found["translation_text"] == tokenizer.decode(ids, skip_special_tokens=True)
        with torch.no_grad():
            output = model(**inputs, decoder_input_ids=ids[None, :-1], output_attentions=True)
        score = output.logits[0].log_softmax(-1).gather(1, ids[1:, None]).sum().item()
        assert found["score"] == pytest.approx(score, abs=1e-4)
        torch.testing.assert_close(found["attention"].weights, output.cross_attentions[-1][0], atol=1e-5, rtol=0)


# Files


LINES = [*TEXTS, "", "cats ran"]


def expected_lines(toy, **options) -> list[str]:
    return [toy(text, max_new_tokens=5, **options)["translation_text"] for text in LINES]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_file_has_a_line_for_each(toy, tmp_path, packed, end):
    suffix, opened = (".gz", gzip.open) if packed else ("", open)
    with opened(tmp_path / f"in{suffix}", "wt", encoding="utf-8-sig", newline="") as file:
        file.write(end.join(LINES))  # the last line has no end
    toy.translate_file(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", max_new_tokens=5, progress=False)
    with opened(tmp_path / f"out{suffix}", "rt", encoding="utf-8", newline="") as file:
        assert file.read() == "".join(f"{line}\n" for line in expected_lines(toy))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in{suffix}", f"out{suffix}"]


def test_an_empty_file(toy, tmp_path):
    (tmp_path / "in").write_text("")
    toy.translate_file(tmp_path / "in", tmp_path / "out", progress=False)
    assert (tmp_path / "out").read_text() == ""


def test_lines_of_ones_own(toy, tmp_path):
    """No translation breaks a line, whatever stands in it."""
    (tmp_path / "in").write_text("the cat\n\nthe dog\n")
    line = lambda found: f"{found['score']:.3f}\n{found['translation_text']}\u2028\r\n{found['alignments']}"  # noqa: E731
    options = {"scores": True, "alignments": True, "num_beams": 2, "max_new_tokens": 5}
    toy.translate_file(tmp_path / "in", tmp_path / "out", line=line, progress=False, **options)
    found = [toy(text, **options) for text in ("the cat", "", "the dog")]
    assert (tmp_path / "out").read_text() == "".join(f"{' '.join(line(each).splitlines())}\n" for each in found)


@pytest.mark.parametrize("broken_at", [1, 5, 8])
def test_a_run_that_broke_off_goes_on(toy, tmp_path, monkeypatch, broken_at):
    monkeypatch.setattr(translator, "WINDOW", 1)
    (tmp_path / "in").write_text("".join(f"{line}\n" for line in LINES))
    path, part = tmp_path / "out.gz", tmp_path / "out.gz.part"
    options = {"batch_size": 2, "max_new_tokens": 5, "progress": False}
    count = iter(range(100))

    def line(found):
        if next(count) == broken_at:
            raise KeyboardInterrupt
        return found["translation_text"]

    with pytest.raises(KeyboardInterrupt):
        toy.translate_file(tmp_path / "in", path, line=line, **options)
    assert not path.exists() and part.read_text() == "".join(f"{line}\n" for line in expected_lines(toy)[:broken_at])
    with part.open("a") as file:  # as when the machine stopped
        file.write("half a l")
    with pytest.raises(ValueError, match=r"out.gz.part' is there, of a run that broke off: go on with `resume=True`"):
        toy.translate_file(tmp_path / "in", path, **options)
    (tmp_path / "other").write_text("")
    with pytest.raises(ValueError, match=rf"other' of 0 lines, of which {broken_at} are translated"):
        toy.translate_file(tmp_path / "other", path, resume=True, **options)
    translated = []
    monkeypatch.setattr(
        Translator,
        "_encode",
        lambda self, texts, n, old=Translator._encode: translated.extend(texts) or old(self, texts, n),
    )
    toy.translate_file(tmp_path / "in", path, resume=True, **options)
    assert translated == LINES[broken_at:]
    assert gzip.decompress(path.read_bytes()).decode() == "".join(f"{line}\n" for line in expected_lines(toy))
    assert not part.exists()


def test_no_file_is_lost(toy, tmp_path):
    (tmp_path / "in").write_text("the cat\n")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match=r"`path_out` is '.*out', which is there: .*`overwrite=True`"):
        toy.translate_file(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    with pytest.raises(ValueError, match="`temperature`"):  # which `generate` refuses
        options = {"do_sample": True, "temperature": -1.0}
        toy.translate_file(tmp_path / "in", tmp_path / "out", overwrite=True, progress=False, **options)
    assert (tmp_path / "out").read_text() == "mine"
    (tmp_path / "out.part").write_text("old\n")
    options = {"overwrite": True, "max_new_tokens": 3, "progress": False}
    toy.translate_file(tmp_path / "in", tmp_path / "out", **options)
    assert (tmp_path / "out").read_text() == toy("the cat", max_new_tokens=3)["translation_text"] + "\n"
    with pytest.raises(ValueError, match=r"`path_in` is '.*nowhere', which is not a file"):
        toy.translate_file(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="`num_return_sequences` is 2, but a line has one translation"):
        toy.translate_file(tmp_path / "in", tmp_path / "other", num_beams=2, num_return_sequences=2)


def test_what_is_refused_leaves_nothing_behind(toy, tmp_path):
    """The next run begins as if that one had not been, and what an older one left is still there."""
    (tmp_path / "in").write_text("the cat\n")
    (tmp_path / "latin").write_bytes("Käse\n".encode("latin-1"))
    out, part = tmp_path / "out", tmp_path / "out.part"
    for path, options, message in (
        ("nowhere", {}, "`path_in` is"),
        ("latin", {}, "not utf-8 in line 1"),
        ("in", {"num_beams": 0}, "`num_beams` is 0"),
        ("in", {"do_sample": True, "temperature": -1.0}, "`temperature`"),
    ):
        with pytest.raises(ValueError, match=message):
            toy.translate_file(tmp_path / path, out, progress=False, **options)
        assert not out.exists() and not part.exists()
    part.write_text("done\n")
    for path in ("nowhere", "latin"):
        with pytest.raises(ValueError, match="`path_in` is"):
            toy.translate_file(tmp_path / path, out, overwrite=True, progress=False)
        assert part.read_text() == "done\n"
    for path in (tmp_path, tmp_path / "nowhere" / "out"):
        with pytest.raises(ValueError, match=r"`path_out` is '.*', a folder or in none: give the name of a file"):
            toy.translate_file(tmp_path / "in", path, overwrite=True, progress=False)


def test_progress(toy, capsys):
    toy(TEXTS, batch_size=4, max_new_tokens=2)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capsys.readouterr().err
    toy(TEXTS, max_new_tokens=2)  # of one batch
    toy("the cat", max_new_tokens=2)
    toy(TEXTS, batch_size=4, max_new_tokens=2, progress=False)
    assert capsys.readouterr().err == ""


# Bad input


@pytest.mark.parametrize(
    "texts, options, message",
    [
        ([], {}, "`texts` is empty: give at least one text"),
        (None, {}, "`texts` is None: give a text, or several"),
        (3, {}, "`texts` is 3: give"),
        (b"cat", {}, "`texts` is b'cat': give"),
        ({"cat": 1}, {}, "`texts` is {'cat': 1}: give"),
        (["cat", None], {}, "`texts` has None at 1: give texts"),
        (iter(["cat"] * 70 + [["cat"]]), {"batch_size": 1}, r"`texts` has \['cat'\] at 70: give texts"),
        ("cat", {"batch_size": 0}, "`batch_size` is 0: give at least 1"),
        ("cat", {"batch_size": 1.5}, "`batch_size` is 1.5: give at least 1"),
        ("cat", {"num_beams": 0}, "`num_beams` is 0: give at least 1"),
        ("cat", {"num_return_sequences": 0}, "`num_return_sequences` is 0: give at least 1"),
        ("cat", {"max_new_tokens": -1}, "`max_new_tokens` is -1: give at least 1"),
        ("cat", {"max_length": 3}, "`max_length` is 3 and `max_new_tokens` 2: give one of the two"),
        (
            "cat",
            {"num_return_sequences": 3, "num_beams": 2},
            "`num_return_sequences` .* smaller or equal to `num_beams`",
        ),
    ],
)
def test_what_cannot_be_translated_is_refused(toy, texts, options, message):
    with pytest.raises(ValueError, match=message):
        list(toy(texts, **({"max_new_tokens": 2} | options)))


def test_models_and_tokenizers_that_do_not_fit_are_refused(toy, tmp_path):
    language_model = LSTMForCausalLM(LSTMConfig(vocab_size=9, hidden_size=8))
    with pytest.raises(ValueError, match=r"`model` is of the kind 'lstm', which has no encoder and decoder"):
        Translator(language_model, toy.tokenizer)
    for part in (language_model, toy.tokenizer.source):
        part.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"`model` is '.*', of the kind 'lstm', which has no encoder and decoder"):
        Translator(tmp_path)
    with pytest.raises(ValueError, match="`model` is of the kind None"):
        Translator(None)
    with pytest.raises(ValueError, match="`tokenizer` is None, and `model` is no folder"):
        Translator(toy.model)
    larger = LSTMTokenizer.train_from_iterator(SOURCES, vocab_size=300, show_progress=False)
    with pytest.raises(ValueError, match=rf"`tokenizer` has {len(larger)} tokens of the source, and `model` \d\d:"):
        Translator(toy.model, larger)
    with pytest.raises(ValueError, match=rf"`tokenizer` has {len(larger)} tokens of the target, and `model` \d\d:"):
        Translator(toy.model, toy.tokenizer, larger)
    without = LSTMTokenizer.train_from_iterator(SOURCES, "word", show_progress=False)
    without.eos_token = None
    with pytest.raises(ValueError, match="`LSTMTokenizer` without `eos_token`, so that no translation would end"):
        Translator(toy.model, without)
    without.eos_token, without.bos_token = "</s>", None
    assert Translator(toy.model, without).target_tokenizer is without  # the model knows how to begin
    model = build({"vocab_size": 99, "bos_token_id": None}, {"vocab_size": 99, "bos_token_id": None})
    with pytest.raises(
        ValueError, match="without `bos_token`, and the configuration of `model` has no `decoder_start"
    ):
        Translator(model, without)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "runs/a/b", Path("nowhere")])
def test_a_folder_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=r"`model` is '[^']*', where there is no folder"):
        Translator(name)
