# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""Saving and pushing, with a word from whoever describes what was saved: `hf_lstm.hub`, which does not travel."""

from pathlib import Path
from typing import Any, ClassVar


class SavingMixin:
    """For models and tokenizers, before the class of transformers that saves them."""

    hub: ClassVar[Any] = None  # `hf_lstm.hub.folders`, set by `import hf_lstm`: a folder saved elsewhere has no card

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As in transformers; at home the README of the folder tells which code `trust_remote_code` will run."""
        if self.hub is None:
            return super().save_pretrained(save_directory, *args, **kwargs)
        pushed, is_main_process = kwargs.get("push_to_hub", False), kwargs.get("is_main_process", True)
        with self.hub.saving(self, Path(save_directory), pushed, is_main_process):
            return super().save_pretrained(save_directory, *args, **kwargs)

    def _upload_modified_files(self, working_dir, repo_id, *args, **kwargs):
        if self.hub is None:
            return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
        with self.hub.pushing(self, Path(working_dir), repo_id):
            return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
