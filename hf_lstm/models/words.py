# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
How to cut an ordinary text into words as those of a corpus are cut, learnt from the words themselves.

Taggers are trained on sentences that are given as words, cut by rules that nobody knows: is "U.S." one word, or
"well-known", "don't", "#1"? The words tell. What comes out is one regular expression (Oniguruma), which a saved
tokenizer holds.
"""

import re
from collections import Counter
from collections.abc import Callable

from tokenizers import Regex, pre_tokenizers


ONE_CHARACTER = 0.99  # the share of words of one character from which on a corpus is one of characters
MOST_SPECIAL = 500  # words with marks that are listed one by one, the most frequent first
_APOSTROPHE = "['’]"
MARKS = r"\u00AD\u200B-\u200D"  # soft hyphen, zero-width space, non-joiner and joiner, which stand within a word
# A chunk between blanks is a word as it is where a full stop or a comma stands alone further on, within so many
# chunks: such a text has been cut before, as ordinary text has neither behind a blank. Not so where this chunk, or one
# on the way, still has its punctuation.
_UNCUT = r'["(\[“]\w|\p{L}{5,}\.(?!\S)|\S*\w[,;!?](?!\S)'
_CUT_BEFORE = rf"(?<!\S)(?!{_UNCUT})\S+(?<![,;:!?])(?=(?:\s+(?!{_UNCUT})\S+){{0,80}}?\s+[.,](?!\S))"


def word_pattern(words: Counter) -> str:
    """
    The pattern of a word.

    Args:
        words (`Counter`): How often each word is in the corpus, as a tokenizer has normalised it.

    Returns:
        `str`: A regular expression whose matches are the words of a text, one after the other.
    """
    if sum(n for word, n in words.items() if len(word) == 1) >= ONE_CHARACTER * sum(words.values()):
        return r"\S"  # a corpus of characters, as of Chinese
    marked = Counter({word: n for word, n in words.items() if not word.isalnum()})
    rules = "|".join(_rules(words, marked))
    cut = words_of(rules)
    whole = [word for word, n in marked.most_common() if n > 1 and not re.search(r"['’]|[.,;:!?]\Z", word)]
    whole = [word for word in whole if len(cut.pre_tokenize_str(word)) > 1]
    exceptions = [rf"(?<!\S)(?:{_any(whole[:MOST_SPECIAL])})(?!\S)"] if whole else []
    return "|".join([_CUT_BEFORE, *exceptions, rules])


def words_of(pattern: str) -> pre_tokenizers.PreTokenizer:
    """What cuts a text into the matches of a pattern."""
    # `invert` makes what lies between the matches the thing removed.
    return pre_tokenizers.Split(Regex(pattern), "removed", invert=True)


def _rules(words: Counter, marked: Counter) -> list[str]:
    def count(pattern: str) -> int:
        return sum(n for word, n in marked.items() if re.fullmatch(pattern, word))

    rules = _special(words, marked)
    rules.append(r"(?:https?://|www\.)[^\s<>\"]*[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
    rules += [rf"(?<!\w){re.escape(mark)}\w+" for mark in "@#" if count(rf"{mark}\w+") > words[mark]]
    if count(r"&\w+;"):
        rules.append(r"&\w+;")
    rules.append(_number(words, count))
    rules += _with_letters(words, count)
    if count(r"([^\w\s])\1+"):
        rules.append(rf"((?![{MARKS}])[^\w\s])\1+")
    return [*rules, rf"(?![{MARKS}])[^\w\s]", r"\w+"]


def _special(words: Counter, marked: Counter) -> list[str]:
    """Abbreviations, within a sentence alone if they are more often plain words; smileys and other signs."""
    stop = [word[:-1] for word, _ in marked.most_common() if re.fullmatch(r"[^\W\d]{2,}\.", word)][:MOST_SPECIAL]
    sure = [word for word in stop if words[f"{word}."] >= words[word]]
    within = [word for word in stop if words[word] > words[f"{word}."] >= words[word] / 20]
    rules = [rf"(?<!\w)(?:{_any(sure)})\.(?!\w)"] if sure else []
    rules += [rf"(?<!\w)(?:{_any(within)})\.(?=\s+\w|,)"] if within else []
    signs = [word for word, n in marked.most_common() if n > 1 and re.fullmatch(r"[^\w\s]{2,}", word)]
    signs = sorted((sign for sign in signs[:MOST_SPECIAL] if len(set(sign)) > 1), key=len, reverse=True)
    return rules + ([rf"(?:{_any(signs)})"] if signs else [])


def _any(words: list[str]) -> str:
    return "|".join(map(re.escape, words))


def _number(words: Counter, count: Callable[[str], int]) -> str:
    joiners = "".join(re.escape(mark) for mark in ".,:/-" if count(rf"\d+(?:{re.escape(mark)}\d+)+"))
    sign = "".join(re.escape(mark) for mark in "+$" if count(rf"{re.escape(mark)}\d.*") > words[mark])
    percent = "%?" if count(r"\d.*%") > words["%"] else ""
    number = rf"(?>\p{{Nd}}+(?:[{joiners}]\p{{Nd}}+)*)" if joiners else r"(?>\p{Nd}+)"
    before = rf"(?:(?<![\w{sign}])[{sign}])?" if sign else ""
    point = r"|(?<!\w)\.\p{Nd}+" if count(r"\.\d+") else ""
    listed = r"\A\p{Nd}{1,3}\.(?=\s+\S)|" if count(r"\d{1,2}\.") else ""
    return rf"{listed}{before}{number}{percent}(?!{f'[{joiners}]?' if joiners else ''}\w){point}"


def _with_letters(words: Counter, count: Callable[[str], int]) -> list[str]:
    """Words with letters: clitics, initials, and words with marks inside."""
    letter = r"[^\W\d_]"
    parts = Counter()
    for word, n in words.items():
        if re.fullmatch(rf"(?:n?{_APOSTROPHE}{letter}{{1,2}}|{letter}{{1,3}}{_APOSTROPHE})", word):
            parts[word.replace("’", "'")] += n
    behind = [part.removesuffix("'").replace("'", _APOSTROPHE) for part in parts if not part.endswith("'")]
    before = [part[:-1] + _APOSTROPHE for part in parts if part.endswith("'") and parts[part] > 1]
    clitic = rf"(?:{'|'.join(sorted(behind, key=len, reverse=True))})(?!\w)" if behind else r"(?!)"
    joiners = [mark for mark in "-/&.@_:'’" if 2 * count(rf".*{letter}{re.escape(mark)}\w.*") > words[mark]]
    inside = "".join(map(re.escape, joiners)) + MARKS
    rules = [rf"(?<!\w)(?:{'|'.join(before)})(?=\w)"] if before else []
    rules += [clitic] if behind else []
    rules.append(r"(?<!\w)(?:\p{L}\.){2,}(?:-\w+)*")
    if count(rf"{letter}\."):
        rules.append(r"(?<!\w)\p{L}\.(?=\s*\p{L})")
    if count(rf"{letter}+\$"):
        rules.append(r"\p{L}{1,3}\$")
    not_yet = rf"(?!{clitic})" if behind else ""
    rules.append(rf"(?:{not_yet}\w)+(?:{not_yet}[{inside}](?:{not_yet}\w)+)*")
    return rules
