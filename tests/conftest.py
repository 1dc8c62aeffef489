# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Set-up for all tests: nothing is downloaded, arithmetic runs on one thread, every test starts from the same seed."""

import os
from pathlib import Path


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
import transformers


torch.set_num_threads(1)
transformers.logging.set_verbosity_warning()


@pytest.fixture(autouse=True)
def seed():
    transformers.set_seed(0)


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets beside the repository, which a clone does not have."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the public data sets in ../shared/data, which are not part of the repository")
    return folder
