# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What the readers of pairs look for in them: lines that have slipped, sides that are swapped."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np


_MOST_SHIFTS = 20  # missing lines that are looked for one by one, and not as one block
# What stands in the first word of the names of letters, by languages; one script for Chinese and Japanese.
_SCRIPTS = {
    "LATIN": "ca ces cs da dan de deu en eng es est et fi fin fr fra hr hu hun id ind is it ita lt lv nl nld no pl "
    "pol por pt ro ron sk sl spa sv swe sw tr tur vi vie",
    "CJK": "cmn ja jpn wuu yue zh zho",
    "HANGUL": "ko kor",
    "CYRILLIC": "be bel bg bul mk mkd ru rus uk ukr",
    "GREEK": "el ell",
    "ARABIC": "ar ara fa fas ur urd",
    "HEBREW": "he heb",
    "DEVANAGARI": "hi hin mr mar ne nep",
    "THAI": "th tha",
}
_SCRIPT_OF = {language: script for script, languages in _SCRIPTS.items() for language in languages.split()}


def slipped_line(first: Sequence[str], second: Sequence[str]) -> int:
    """
    The number of the line, about which the shorter of two texts lacks one. Lines are put beside each other in the
    order in which their lengths differ least, by a dynamic program over lines and over how many are missing so far.
    """
    longer, shorter = (first, second) if len(first) > len(second) else (second, first)
    missing, number = len(longer) - len(shorter), len(shorter)
    if not shorter:
        return 1
    long, short = (np.log1p([len(line) for line in lines]) for lines in (longer, shorter))
    long, short = long - np.median(long), short - np.median(short)
    shifts = range(missing + 1) if missing <= _MOST_SHIFTS else (0, missing)
    costs = [np.append(0, np.abs(long[shift : shift + number] - short).cumsum()) for shift in shifts]
    best, gains = costs[0], []
    for cost in costs[1:]:
        gains.append(best - cost)  # of going over to the next shift at each line
        best = cost + np.minimum.accumulate(gains[-1])
    end = number
    for gain in reversed(gains):
        end = int(gain[: end + 1].argmin())
    return end + 1


def swapped_pairs(
    sources: Sequence[str], targets: Sequence[str], source_lang: str | None = None, target_lang: str | None = None
) -> tuple[tuple[str, str], list[int]]:
    """
    The scripts of the two sides, those of their languages or else of most pairs, and which pairs have them the other
    way round; none where the two are one.
    """
    found = [tuple(map(script_of, pair)) for pair in zip(sources, targets, strict=True)]
    usual = Counter(pair for pair in found if None not in pair and pair[0] != pair[1]).most_common(1)
    of_languages = tuple(map(script_of_language, (source_lang, target_lang)))
    expected = of_languages if None not in of_languages else usual[0][0] if usual else ("", "")
    if expected[0] == expected[1]:
        return expected, []
    swapped = expected[::-1]
    return tuple(map(_readable, expected)), [i for i, pair in enumerate(found) if pair == swapped]


def script_of(text: str) -> str | None:
    """The script of most letters of a text; None if it has none."""
    if text.isascii():  # most sentences of many languages, in a tenth of the time
        return "LATIN" if text.lower() != text.upper() else None
    scripts = Counter(filter(None, map(_script, text)))
    return max(scripts, key=scripts.get) if scripts else None


def script_of_language(language: str | None) -> str | None:
    """The script of a language, "CJK" of "zh_CN" and so on; None if it is not known."""
    return _SCRIPT_OF.get((language or "").replace("-", "_").split("_")[0].lower())


@cache
def _script(character: str) -> str | None:
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "").split(" ")[0].split("-")[0]
    if not character.isalpha() or not name:
        return None
    return "CJK" if name in ("HIRAGANA", "KATAKANA") else name


def _readable(script: str) -> str:
    return "Chinese or Japanese" if script == "CJK" else script.title()
