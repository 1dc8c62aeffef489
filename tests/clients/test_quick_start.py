# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The notebook runs from top to bottom, in a folder of its own, and prints what it is stored with."""

import pytest
from test_notebook import NOTEBOOK, check_outputs


nbformat = pytest.importorskip("nbformat", reason="reading a notebook needs nbformat: `make test-clients`")
nbclient = pytest.importorskip("nbclient", reason="running a notebook needs nbclient: `make test-clients`")
pytest.importorskip("ipykernel", reason="running a notebook needs ipykernel: `make test-clients`")


def test_quick_start(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    check_outputs(notebook)
    assert (tmp_path / "quick_start_tagger" / "crf.py").is_file()
