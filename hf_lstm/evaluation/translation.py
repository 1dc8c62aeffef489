# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Scores of translations: BLEU (Papineni et al. 2002) and chrF (Popović 2015) of whole texts, by sacrebleu (Post 2018),
which is an extra: `pip install sacrebleu`. A score is of use to others only with its signature, which says how the
text was cut into tokens; the text itself is given as people read it, not tokenized.

Glossary: B sentences, T tokens.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import EvalPrediction, PreTrainedTokenizerBase


# How BLEU cuts texts of languages that `13a` does not suit, by ISO 639 codes of two and of three letters.
TOKENIZERS = {
    **dict.fromkeys(("zh", "zho", "chi", "cmn", "yue", "wuu", "lzh"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
    # No spaces between words, and no tokenizer of words: characters.
    **dict.fromkeys(
        ("bo", "bod", "tib", "dz", "dzo", "km", "khm", "lo", "lao", "my", "mya", "bur", "th", "tha"), "char"
    ),
}
SAMPLES = 1000  # of the bootstrap, sacrebleu's own default


@dataclass(frozen=True)
class TranslationScores:
    """
    The scores of translations. As text it is two lines for each of BLEU and chrF, the second its signature.

    Args:
        bleu (`float`): BLEU, from 0 to 100.
        chrf (`float`): chrF, from 0 to 100: of characters alone, so that it depends on no tokens.
        bleu_signature, chrf_signature (`str`): How sacrebleu computed them.
        precisions (`tuple[float, ...]`): Shares of the n-grams that are right, for n of 1 to 4, in per cent.
        brevity_penalty (`float`): What BLEU is multiplied by; below 1 where translations are too short.
        prediction_tokens, reference_tokens (`int`): The lengths, as BLEU counts; of several references that of the
            closest length.
        length_ratio (`float`): The former by the latter.
        sentences (`int`): How many there are, B.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    precisions: tuple[float, ...]
    brevity_penalty: float
    prediction_tokens: int
    reference_tokens: int
    length_ratio: float
    sentences: int

    def __str__(self) -> str:
        precisions = "/".join(f"{precision:.1f}" for precision in self.precisions)
        return (
            f"BLEU {self.bleu:.2f}   {precisions}, brevity penalty {self.brevity_penalty:.3f}, "
            f"{self.prediction_tokens:,} tokens for {self.reference_tokens:,} (ratio {self.length_ratio:.3f}), "
            f"{self.sentences:,} sentences\n     {self.bleu_signature}\n"
            f"chrF {self.chrf:.2f}\n     {self.chrf_signature}"
        )


@dataclass(frozen=True)
class BootstrapComparison:
    """
    Two systems by one metric, over sentences drawn again and again (Koehn 2004).

    Args:
        score, baseline (`float`): The scores of the two.
        interval, baseline_interval (`float`): Half of the range that 95 % of the draws lie in, for each.
        p_value (`float`): How often chance alone would put them so far apart.
        signature (`str`): How sacrebleu computed it.
    """

    score: float
    baseline: float
    interval: float
    baseline_interval: float
    p_value: float
    signature: str


def translation_scores(
    predictions: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    language: str,
    *,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> TranslationScores:
    """
    BLEU and chrF of translations, as sacrebleu computes them.

    Args:
        predictions (`Sequence[str]`): Translations, B of them; an empty one counts as such.
        references (`Sequence[str]` or `Sequence[Sequence[str]]`): What they should be: for each a text, or several
            texts of which any will do.
        language (`str`): ISO 639 code of the language that they are in, such as `"de"` or `"zh"`: BLEU cuts Chinese
            into characters, Japanese and Korean by MeCab, languages that write no spaces into characters, and all
            others by the rules `13a`.
        tokenize (`str`, *optional*): Another tokenizer of sacrebleu for BLEU, such as `"char"` or `"intl"`.
        lowercase (`bool`, *optional*, defaults to `False`): Whether capitals do not count. The signature says so.

    Returns:
        [`TranslationScores`]: The scores.

    Raises:
        `ImportError`: If sacrebleu is missing, or what its tokenizer for this language needs.
        `ValueError`: If there are no sentences, there is not a reference for each, or what is given is not text; for
            an unknown language or tokenizer.

    Example:

    ```python
    >>> from hf_lstm.evaluation.translation import translation_scores

    >>> scores = translation_scores(["the cat sat on a mat"], ["the cat sat on the mat"], "en")
    >>> round(scores.bleu, 1), round(scores.chrf, 1), scores.brevity_penalty
    (53.7, 66.0, 1.0)
    ```
    """
    metrics = _metrics(language, tokenize, lowercase)
    columns = _columns(_checked(predictions, "predictions"), references)
    bleu, chrf = (metric.corpus_score(list(predictions), columns) for metric in metrics)
    signatures = (str(metric.get_signature()) for metric in metrics)
    return TranslationScores(
        float(bleu.score),
        float(chrf.score),
        *signatures,
        tuple(map(float, bleu.precisions)),
        float(bleu.bp),
        int(bleu.sys_len),
        int(bleu.ref_len),
        float(bleu.ratio),
        len(predictions),
    )


def compare_translations(
    predictions: Sequence[str],
    baseline: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    language: str,
    *,
    samples: int = SAMPLES,
    tokenize: str | None = None,
    lowercase: bool = False,
) -> dict[str, BootstrapComparison]:
    """
    Whether two systems differ by more than chance, by the paired bootstrap of sacrebleu (Koehn 2004).

    Args:
        predictions (`Sequence[str]`): Translations of one system, B of them.
        baseline (`Sequence[str]`): Those of the other, of the same sentences.
        references, language, tokenize, lowercase: As in [`translation_scores`].
        samples (`int`, *optional*, defaults to 1000): How often B sentences are drawn.

    Returns:
        `dict[str, BootstrapComparison]`: `"bleu"` and `"chrf"`.

    Raises:
        `ImportError`, `ValueError`: As [`translation_scores`]; and if `samples` is not positive.

    Example:

    ```python
    >>> from hf_lstm.evaluation.translation import compare_translations

    >>> references = ["the cat sat on the mat", "the dog ran home"] * 20
    >>> compared = compare_translations(references, ["a cat sat", "the dog ran"] * 20, references, "en", samples=100)
    >>> compared["bleu"].score > compared["bleu"].baseline, compared["bleu"].p_value < 0.05
    (True, True)
    ```
    """
    if samples < 1:
        raise ValueError(f"`samples` is {samples}: give at least 1, or leave it out for {SAMPLES}.")
    metrics = dict(zip(("bleu", "chrf"), _metrics(language, tokenize, lowercase), strict=True))
    columns = _columns(_checked(predictions, "predictions"), references)
    _columns(_checked(baseline, "baseline"), references, "baseline")
    from sacrebleu.significance import PairedTest

    systems = [("baseline", list(baseline)), ("predictions", list(predictions))]
    signatures, results = PairedTest(systems, metrics, columns, "bs", n_samples=samples)()
    found = {}
    for name, (base, own), signature in zip(metrics, [*results.values()][1:], signatures.values(), strict=True):
        # Where both are the same nothing is drawn that differs, which the test counts as never by chance.
        p_value = 1.0 if own.score == base.score else own.p_value
        numbers = map(float, (own.score, base.score, own.ci, base.ci, p_value))
        found[name] = BootstrapComparison(*numbers, str(signature))
    return found


def make_translation_metrics(
    tokenizer: PreTrainedTokenizerBase, language: str, *, tokenize: str | None = None, lowercase: bool = False
) -> Callable[[EvalPrediction], dict[str, float]]:
    """
    The argument `compute_metrics` of `Seq2SeqTrainer` with `predict_with_generate=True`.

    The references are the labels, decoded: where the tokenizer loses something of a text, or labels were cut, they are
    not what people wrote. Figures to publish are those of [`translation_scores`] on the texts themselves.

    Args:
        tokenizer ([`PreTrainedTokenizerBase`]): The one whose `batch_decode` gives texts of the target language.
        language (`str`): The target language, as in [`translation_scores`].
        tokenize, lowercase: As in [`translation_scores`].

    Returns:
        `Callable[[EvalPrediction], dict[str, float]]`: A function that returns `"bleu"`, `"chrf"` and
            `"length_ratio"`, of translations by references in tokens of BLEU.

    Raises:
        `ImportError`, `ValueError`: As [`translation_scores`], at once rather than after the first epoch; and
            `ValueError` if that function is given anything but ids of shape `(B, T)`.

    Example:

    ```python
    >>> import numpy as np
    >>> from transformers import EvalPrediction
    >>> from hf_lstm import LSTMTokenizer
    >>> from hf_lstm.evaluation.translation import make_translation_metrics

    >>> tokenizer = LSTMTokenizer.train_from_iterator(["the cat sat on the mat"], kind="word", show_progress=False)
    >>> ids = np.array([tokenizer("the cat sat on the mat")["input_ids"]])
    >>> make_translation_metrics(tokenizer, "en")(EvalPrediction(ids, ids))["length_ratio"]
    1.0
    ```
    """
    _metrics(language, tokenize, lowercase)

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        texts = [_decoded(ids, tokenizer) for ids in (prediction.predictions, prediction.label_ids)]
        scores = translation_scores(*texts, language, tokenize=tokenize, lowercase=lowercase)
        return {"bleu": scores.bleu, "chrf": scores.chrf, "length_ratio": scores.length_ratio}

    return compute_metrics


def bleu_tokenizer(language: str) -> str:
    """
    The tokenizer of sacrebleu that suits a language.

    Args:
        language (`str`): Its ISO 639 code, with a region or script or without: `"zh"`, `"zh-TW"`, `"zho_Hans"`.

    Returns:
        `str`: `"zh"`, `"ja-mecab"`, `"ko-mecab"`, `"char"` or `"13a"`.

    Raises:
        `ValueError`: If it is not such a code.
    """
    code = re.fullmatch(r"([a-z]{2,3})([-_]\w+)*", str(language).lower())
    if code is None:
        raise ValueError(
            f"`language` is {language!r}: give the ISO 639 code of the language of the translations, 'de' or 'zh'."
        )
    return TOKENIZERS.get(code[1], "13a")


def _metrics(language: str, tokenize: str | None, lowercase: bool) -> tuple:
    """BLEU and chrF of sacrebleu."""
    tokenize = bleu_tokenizer(language) if tokenize is None else tokenize
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise ImportError("Scores of translations need sacrebleu: `pip install sacrebleu`.") from error
    if tokenize not in BLEU.TOKENIZERS:
        raise ValueError(f"`tokenize` is {tokenize!r}: choose from {sorted(BLEU.TOKENIZERS)}.")
    try:
        return BLEU(tokenize=tokenize, lowercase=lowercase), CHRF(lowercase=lowercase)
    except (ImportError, RuntimeError) as error:
        extra = tokenize.removesuffix("-mecab")
        remedy = f'`pip install "sacrebleu[{extra}]"`' if extra != tokenize else "see the error above"
        raise ImportError(
            f"The tokenizer {tokenize!r} of sacrebleu, that of the language {language!r}, needs packages that are "
            f"missing: {remedy}, or give `tokenize='char'`, whose scores compare only with others by it."
        ) from error


def _checked(texts: Sequence[str], argument: str) -> Sequence[str]:
    """The texts, if they are texts."""
    if isinstance(texts, str) or not hasattr(texts, "__len__"):
        raise ValueError(f"`{argument}` is {texts!r:.60}: give a list of texts.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"`{argument}` has {text!r} at {i}: give texts, decoded where they were token ids.")
    return texts


def _columns(predictions: Sequence[str], references: Sequence, argument: str = "predictions") -> list[list]:
    """References as sacrebleu takes them: the first of each sentence, the second of each, `None` for want of one."""
    is_list = hasattr(references, "__len__") and not isinstance(references, str)
    if not is_list or len(predictions) != len(references):
        count = len(references) if is_list else f"are {references!r:.60}"
        raise ValueError(
            f"`{argument}` has {len(predictions)} sentences and `references` {count}: give a reference, or a list of "
            "references, for each."
        )
    if not len(predictions):
        raise ValueError(f"`{argument}` is empty: give at least one sentence.")
    rows = [[row] if isinstance(row, str) else row for row in references]
    for i, row in enumerate(rows):
        if not len(_checked(row, f"references[{i}]")):
            raise ValueError(f"`references` has none at {i}: give at least one for each sentence.")
    return [[row[k] if k < len(row) else None for row in rows] for k in range(max(map(len, rows)))]


def _decoded(ids: np.ndarray | list[np.ndarray], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Texts of ids, `(B, T)`, also where `eval_do_concat_batches=False` left batches; -100 is padding."""
    batches = ids if isinstance(ids, list) else [ids]
    for batch in batches:
        if not isinstance(batch, np.ndarray) or batch.ndim != 2 or not np.issubdtype(batch.dtype, np.integer):
            got = f"shape {batch.shape}, {batch.dtype}" if isinstance(batch, np.ndarray) else type(batch).__name__
            raise ValueError(
                f"`predictions` and `label_ids` have to be ids of shape (B, T), but one is of {got}: use "
                "`Seq2SeqTrainer` with `predict_with_generate=True`."
            )
    rows = [row[row >= 0].tolist() for batch in batches for row in batch]
    return tokenizer.batch_decode(rows, skip_special_tokens=True)


__all__ = [
    "BootstrapComparison",
    "TranslationScores",
    "bleu_tokenizer",
    "compare_translations",
    "make_translation_metrics",
    "translation_scores",
]
