# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
The notebook as it is stored: executed from top to bottom, with what it promises and no path of the machine it ran on.
That it runs: tests/clients/test_quick_start.py.
"""

import json
import re
from pathlib import Path


NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "quick_start.ipynb"


def check_outputs(notebook: dict) -> None:
    """What a notebook printed, by what stands in its cells."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [(cell, output) for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for _, output in outputs} == {"stream", "execute_result"}  # and no error
    assert not [output for _, output in outputs if output.get("name") == "stderr"]

    def printed(code: str) -> str:
        """Of the cells that hold this code."""
        found = [output for cell, output in outputs if code in "".join(cell["source"])]
        return "".join("".join(o.get("text") or o["data"].get("text/html") or o["data"]["text/plain"]) for o in found)

    assert "This module provides" in printed("model.generate(**inputs")
    assert "Return a list of" in printed("cache=state.copy()")
    assert 20 < float(re.search(r"perplexity ([\d.]+)", printed("evaluate_perplexity("))[1]) < 120
    after, sizes = zip(*re.findall(r"after +([\d,]+) tokens: ([\d,]+) bytes", printed("def size(")), strict=True)
    assert after == ("10", "1,000") and sizes[0] == sizes[1]
    assert float(re.search(r"in one go: (\S+)", printed("def size("))[1]) < 1e-4
    assert float(re.search(r"F1 of the held-out sentences: ([\d.]+)%", printed("LSTMForTokenClassification("))[1]) > 80
    kinds = ["VERSION", "STANDARD", "EXCEPTION", "EXCEPTION", "STANDARD"]
    assert re.findall(r"<small>(\w+)</small>", printed("<mark")) == kinds
    assert re.search(r"GreenWidgetError +B-EXCEPTION +\d\.\d+ +\d\.\d+", printed("output_marginals"))


def test_what_it_promises_is_stored():
    check_outputs(json.loads(NOTEBOOK.read_text(encoding="utf-8")))


def test_it_is_small_and_names_no_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"/(home|root|work|tmp|Users|usr|content|opt)/", text)
