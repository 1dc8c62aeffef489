# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The equations of docstrings, which are to be read beside the code, as MathML, which browsers show without a script.

    c' = f * c + i * g      what follows two blanks and is no mathematics is a remark

`_` begins an index, a word or what is in brackets; `/` a fraction; a name before a bracket is a function; `*` is a
product, in a layer one of elements; `sum_t` and `sum over t of` are sums.
"""

import html
import re


GREEK = {"epsilon": "ε", "gamma": "γ", "pi": "π", "theta": "θ"}
FUNCTIONS = {"avg", "exp", "min", "score", "sigmoid", "softmax", "tanh"}
SIGNS = {"<-": "←", "-": "−", "...": "…", "|": "∣"}
BRACKETS = {"(": ")", "[": "]", "{": "}"}
TOKEN = re.compile(r"\s*(<-|\.\.\.|[^\W\d_]+(?:_[a-z]{3,})*|[\d.]+|[^\s\w]|_)")
EQUATION = re.compile(r"(?:\A|(?<=\n\n))((?: {4}\S.*(?:\n|\Z))+)")
RELATION = re.compile(r" (=|<-|∝) ")
REMARK = re.compile(r"(or|candidate)$|with(out)? `|[a-z]{2,} (?!over\b)[a-z]+\b(?! *[=+*/])")


def with_equations(text: str, product: str = "·") -> str:
    """
    Markdown in which the indented equations are MathML.

    Args:
        text (`str`): The Markdown of a docstring.
        product (`str`): The sign for `*`.

    Returns:
        `str`: The text with a block of HTML for each block of equations.
    """

    def block(match: re.Match) -> str:
        lines = match[1].rstrip().splitlines()
        if not any(RELATION.search(line) for line in lines):
            return match[0]
        rows = [row for line in lines for row in _rows(line.strip(), product)]
        return f'<div class="equations">{"".join(rows)}</div>\n'

    return EQUATION.sub(block, text)


def _rows(line: str, product: str) -> list[str]:
    """Each equation of a line in a row, with the remarks on it."""
    rows: list[list[str]] = []
    for part in re.split(r"\s{2,}", line):
        remark = REMARK.match(part)
        if not rows or (RELATION.search(part) and not remark and not part.startswith("+")):
            rows.append([])
        shown = re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(part))
        rows[-1].append(f"<span>{shown}</span>" if remark else mathml(part, product))
    return [f"<p>{' '.join(row)}</p>" for row in rows]


def mathml(text: str, product: str = "·") -> str:
    """An expression as MathML, for example `h' = (1 - z) * n + z * h`."""
    return f'<math displaystyle="true">{_Parser(text, product).row()}</math>'


class _Parser:
    """A token, and whether a blank is before it, at a time."""

    def __init__(self, text: str, product: str):
        text = re.sub(r"\bsum over (.+?) of ", r"sum_{\1} ", text)
        self.tokens = [(match[1], match[0] != match[1]) for match in TOKEN.finditer(text)]
        self.place, self.signs = 0, SIGNS | {"*": product}

    def next(self, *, joined: bool = False) -> str:
        """The token that comes, unless it has to follow without a blank and does not."""
        token, apart = self.tokens[self.place] if self.place < len(self.tokens) else ("", True)
        return "" if joined and apart else token

    def take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1][0]

    def row(self, end: str = "") -> str:
        """All that comes up to a closing bracket."""
        parts: list[str] = []
        while self.next() not in ("", end):
            if self.next() == "/":
                self.take()
                parts.append(f"<mfrac>{_bare(parts.pop())}{_bare(self.factor())}</mfrac>")
            else:
                parts.append(self.factor())
        return "".join(parts)

    def factor(self) -> str:
        """A number, a sign, a bracket or a name, with its index, its prime and what it is applied to."""
        token = self.take()
        if token in BRACKETS:
            shown = self.group(token)
        elif token.isalpha() or "_" in token:
            shown = self.name(token)
        else:
            kind = "mn" if token[0].isdigit() else "mo"
            return f"<{kind}>{html.escape(self.signs.get(token, token))}</{kind}>"
        while self.next(joined=True) in ("_", "'", "(", "["):
            follows = self.take()
            if follows == "_":
                shown = f"<msub>{shown}{self.index()}</msub>"
            elif follows == "'":
                shown = f"<msup>{shown}<mo>′</mo></msup>"
            else:
                shown = f"<mrow>{shown}{self.group(follows)}</mrow>"
        return shown

    def group(self, opening: str) -> str:
        inside = self.row(BRACKETS[opening])
        self.take()
        return f"<mrow><mo>{opening}</mo>{inside}<mo>{BRACKETS[opening]}</mo></mrow>"

    def index(self) -> str:
        if self.next() in BRACKETS:
            return _bare(self.group(self.take()))
        token = self.take()
        letters = "".join(f"<mi>{letter}</mi>" for letter in token)
        return f"<mrow>{letters}</mrow>" if len(token) > 1 else letters

    def name(self, token: str) -> str:
        if token == "sum":
            self.take()
            below = self.index()
            if self.next(joined=True) == "'":
                self.take()
                below = f"<msup>{below}<mo>′</mo></msup>"
            return f"<munder><mo>∑</mo>{below}</munder>"
        if re.fullmatch("d[a-zA-Z]", token):
            return f"<mrow><mo>∂</mo><mi>{token[1]}</mi></mrow>"
        if token in ("with", "over", "of"):
            return f"<mtext>&nbsp;{token}&nbsp;</mtext>"
        head, *index = token.split("_")
        if index and len(head) > 1:  # an argument
            return f"<mtext>{token}</mtext>"
        shown = GREEK.get(head, head)
        kind = ' mathvariant="normal"' if len(shown) > 1 else ""
        shown = f"<mi{kind}>{shown}</mi>"
        return f"<msub>{shown}<mtext>{'_'.join(index)}</mtext></msub>" if index else shown


def _bare(shown: str) -> str:
    """Without the brackets around all of it: as in a fraction or an index."""
    match = re.fullmatch(r"<mrow><mo>[(\[{]</mo>(.*)<mo>[)\]}]</mo></mrow>", shown)
    return f"<mrow>{match[1]}</mrow>" if match else f"<mrow>{shown}</mrow>"
