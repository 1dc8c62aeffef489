# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
No two processes share a cache: not two workers of the tests, nor a test and a process that it starts. Code that comes
with a saved model or with a metric is written there and imported, and is not there for a moment when another process
writes it anew. The name of the cache cannot be changed later: `evaluate` has it as the default of an argument.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import conftest
import pytest
from processes import environment


CACHES = """
import datasets, evaluate, huggingface_hub, transformers.utils.hub
places = [transformers.utils.hub.HF_MODULES_CACHE, huggingface_hub.constants.HF_HOME]
places += [huggingface_hub.constants.HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE, datasets.config.HF_MODULES_CACHE]
places += [evaluate.config.HF_MODULES_CACHE, evaluate.config.HF_METRICS_CACHE, evaluate.config.HF_EVALUATE_CACHE]
"""


def caches() -> list[Path]:
    namespace = {}
    exec(CACHES, namespace)
    return list(map(Path, namespace["places"]))


def test_caches_lie_in_a_folder_of_this_process():
    home = Path(conftest.HOME.name)
    assert home.is_dir() and Path.home() not in home.parents
    assert all(place.is_relative_to(home) for place in caches())
    assert os.environ["HF_HOME"] == str(home)


@pytest.mark.slow
def test_caches_of_a_process_are_its_own(tmp_path, monkeypatch):
    for name in ("HF_MODULES_CACHE", "HF_DATASETS_CACHE", "HF_METRICS_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, "shared")
    command = [sys.executable, "-c", CACHES + "import json; print(json.dumps(list(map(str, places))))"]
    done = subprocess.run(command, env=environment(tmp_path / "home"), capture_output=True, text=True, check=True)
    places = json.loads(done.stdout)
    assert len(places) == 8 and all(Path(place).is_relative_to(tmp_path / "home") for place in places)
