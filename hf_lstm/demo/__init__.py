# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What `examples/app.py` shows in the browser, as functions that need no gradio: tags, stories and gates."""
