# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Other people's formats and libraries: ONNX, weights of other packages, peft."""
