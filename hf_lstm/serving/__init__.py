# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What `examples/serve.py` answers over HTTP, as functions that need no web framework: JSON in, JSON out."""
