# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Set-up for all tests: nothing is downloaded, caches lie in a folder of this process alone, arithmetic runs on one
thread, every test starts from the same seed.
"""

import logging
import os
import tempfile
from pathlib import Path


# Before transformers, datasets and evaluate are imported, which read these once. In a cache of the home, code of a
# saved model is written anew while another process of the same home imports it. What was set is dropped first: a
# variable of one cache, such as HF_MODULES_CACHE, goes before HF_HOME.
HOME = tempfile.TemporaryDirectory(prefix="hf_lstm-tests-", ignore_cleanup_errors=True)  # goes with the process
for name in [name for name in os.environ if name.startswith("HF_") or name == "TRANSFORMERS_CACHE"]:
    del os.environ[name]
os.environ |= {"HF_HOME": HOME.name, "HF_HUB_OFFLINE": "1"}  # all other caches lie in HF_HOME
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402


torch.set_num_threads(1)
transformers.logging.set_verbosity_warning()

TOGETHER = ("test_hub", "test_travel")  # modules whose tests share a set-up that takes long


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Several processes share the tests one by one, but each module of `TOGETHER` is for one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.split("::")[0]
            return module if Path(module).stem in TOGETHER else nodeid

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def seed():
    transformers.set_seed(0)


@pytest.fixture(scope="session")
def library_read_once():
    """The docstrings of the standard library, which take seconds to read, for all tests of the built-in texts."""
    from hf_lstm.data import documentation

    with pytest.MonkeyPatch.context() as patch:
        found = list(documentation._raw_python_docs())
        patch.setattr(documentation, "_raw_python_docs", lambda: iter(found))
        yield


@pytest.fixture
def said():
    """The warnings of the readers."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    root = logging.getLogger("transformers")
    root.addHandler(handler)
    yield messages
    root.removeHandler(handler)


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets beside the repository, which a clone does not have."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the public data sets in ../shared/data, which are not part of the repository")
    return folder
