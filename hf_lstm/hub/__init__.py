# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a saved folder says of itself: cards, and tables of the code that it carries. Nothing of it travels."""
