# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Trainers, batches, averages of weights and fine-tuning, each a plug-in for `Trainer`."""
