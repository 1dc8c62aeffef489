# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a process that a test starts finds around it."""

import os
from pathlib import Path


ROOT = Path(__file__).resolve().parents[1]


def environment(home: Path, *paths: Path, **settings: str) -> dict[str, str]:
    """
    Variables for one process, or for those of one machine: caches in a folder of its own, whatever those of the test
    are, no Hub, one thread.

    Args:
        home (`Path`): Where its caches lie.
        paths (`Path`): What it may import from, beside what is installed; `ROOT` for hf_lstm.
        settings (`str`): More variables.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    own = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if paths:
        own["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    return kept | own | settings
