# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""
Serve a causal language model over HTTP, as OpenAI's clients speak it. This is the server of `transformers serve`, with
all its options, which by itself knows only the classes of transformers:

    pip install "transformers[serving]"
    python examples/serve.py my_model --port 8000

    >>> from openai import OpenAI
    >>> client = OpenAI(base_url="http://localhost:8000/v1", api_key="none")
    >>> client.completions.create(model="my_model", prompt="This module provides", max_tokens=40)

`/v1/chat/completions` needs a tokenizer with a chat template. Requests are answered one after the other:
`--continuous-batching` pages keys and values, which a recurrent model does not have, and is refused.
"""

import argparse
import sys

from transformers.cli.serving import model_manager
from transformers.cli.transformers import main as transformers_cli

import hf_lstm


def main(argv: list[str] | None = None) -> None:
    # 1. Options are those of `transformers serve`
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
    refused = [option for option in ("--continuous-batching", "--compile") if option in argv]
    if refused:
        argparse.ArgumentParser().error(f"{refused[0]} needs a cache of keys and values, which there is none of here.")

    # 2. The server looks for the class of a model by name in transformers, and nowhere else
    for name in hf_lstm.__all__:
        if name.endswith("ForCausalLM"):
            setattr(model_manager.transformers, name, getattr(hf_lstm, name))

    # 3. Serve
    sys.argv = ["transformers", "serve", *argv]
    transformers_cli()


if __name__ == "__main__":
    main()
