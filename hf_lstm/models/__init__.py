# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a saved folder may carry: configurations, models, the tokenizer, and their parts. One flat folder of files."""
