# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
A process of its own that talks to a Hub through the real `huggingface_hub`: `test_hub.py` sends it code to run. With
`Client(without_package=True)` it is one in which `import hf_lstm` fails.
"""

import json
import subprocess
import sys
import textwrap
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

from processes import ROOT, environment


class ClientError(Exception):
    """What the code raised there: `kind` is the name of the class, the text is its own."""

    def __init__(self, kind: str, text: str, trace: str):
        super().__init__(f"{kind}: {text}\n{trace}")
        self.kind, self.text = kind, text


class Client:
    """
    The process, to the end of a `with` block.

    Args:
        home (`Path`): Its caches, and its working folder.
        endpoint (`str`): The address of the Hub.
        token (`str`, *optional*): Its token.
        without_package (`bool`, defaults to `False`): Whether hf_lstm is out of reach.
    """

    def __init__(self, home: Path, endpoint: str, token: str | None = None, without_package: bool = False):
        home.mkdir(parents=True, exist_ok=True)
        settings = {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        settings |= {"HF_HUB_DOWNLOAD_TIMEOUT": "60", "HF_HUB_ETAG_TIMEOUT": "60"}  # the machine may be busy
        if token is not None:
            settings["HF_TOKEN"] = token
        own = environment(home / "cache", ROOT / "tests", ROOT, **settings)
        command = [sys.executable, __file__, *(["--without-package"] if without_package else [])]
        self.errors = home / "stderr.txt"
        with self.errors.open("w") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            self.process = subprocess.Popen(command, cwd=home, env=own, text=True, **pipes)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def run(self, code: str, **names):
        """What `answer` is after the code, in which the `names` are known; names live on from call to call."""
        self.process.stdin.write(json.dumps([textwrap.dedent(code), names]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process ended: {self.errors.read_text()[-2000:]}")
        reply = json.loads(line)
        if "kind" in reply:
            raise ClientError(**reply)
        return reply["answer"]


def serve(replies) -> None:
    import huggingface_hub.utils._http

    # As it is, but without the seconds between two tries.
    huggingface_hub.utils._http.time = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=lambda _: None)
    namespace: dict = {}
    for line in sys.stdin:
        code, names = json.loads(line)
        namespace |= names | {"answer": None}
        try:
            exec(code, namespace)
            reply = {"answer": namespace["answer"]}
        except Exception as error:
            reply = {"kind": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    if "--without-package" in sys.argv:
        import without_package

        sys.meta_path.insert(0, without_package.NotInstalled())
    out, sys.stdout = sys.stdout, sys.stderr
    serve(out)
