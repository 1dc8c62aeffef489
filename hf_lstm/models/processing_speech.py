# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a recogniser needs beside its weights: the features of sound, and the text that its labels spell."""

from typing import Any

from transformers import BatchFeature, ProcessorMixin


class RecurrentSpeechProcessor(ProcessorMixin):
    r"""
    A feature extractor and a tokenizer of characters in one folder.

    Args:
        feature_extractor ([`RecurrentFeatureExtractor`]): Makes `input_features` of sounds.
        tokenizer ([`~transformers.Wav2Vec2CTCTokenizer`]): Makes labels of texts, and texts of what a model is certain
            of at each step.

    Example:

    ```python
    >>> import numpy as np
    >>> from hf_lstm import RecurrentFeatureExtractor, RecurrentSpeechProcessor
    >>> from hf_lstm.data import build_ctc_tokenizer

    >>> tokenizer = build_ctc_tokenizer(["one two", "three"])
    >>> processor = RecurrentSpeechProcessor(RecurrentFeatureExtractor(sampling_rate=8000), tokenizer)
    >>> inputs = processor(np.zeros(8000), sampling_rate=8000, text="one", return_tensors="pt")
    >>> inputs["input_features"].shape, inputs["labels"].shape
    (torch.Size([1, 32, 240]), torch.Size([1, 3]))
    ```
    """

    _auto_class = "AutoProcessor"

    def __init__(self, feature_extractor, tokenizer):
        super().__init__(feature_extractor, tokenizer)

    def __call__(
        self, audio: Any = None, text: Any = None, frames: Any = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """
        Args:
            audio: Sounds, the `raw_speech` of [`RecurrentFeatureExtractor`].
            text (`str` or `list[str]`, *optional*): What is said; it becomes `labels`.
            frames: In place of `audio`, as of [`RecurrentFeatureExtractor`].
            return_tensors (`str`, *optional*): As in transformers.
            kwargs: Of [`RecurrentFeatureExtractor`]: `sampling_rate`, `padding`, ...

        Returns:
            [`~transformers.BatchFeature`]: `input_features`, `attention_mask`, and `labels` of shape `(B, U)`, -100
            at padding.

        Raises:
            `ValueError`: If there is nothing to read.
        """
        if audio is None and frames is None and text is None:
            raise ValueError("Give `audio`, `frames` or `text`.")
        found = BatchFeature()
        if audio is not None or frames is not None:
            found = self.feature_extractor(audio, frames=frames, return_tensors=return_tensors, **kwargs)
        if text is not None:
            texts = [text] if isinstance(text, str) else text
            rows = [{"input_ids": ids} for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]
            found["labels"] = (
                self._padded(rows, return_tensors) if return_tensors else [row["input_ids"] for row in rows]
            )
        return found

    def pad(
        self, input_features: Any = None, labels: Any = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """
        A batch of what was read before, as scripts of transformers call it.

        Args:
            input_features (`list[dict]`): Rows with `input_features`.
            labels (`list[dict]`): Rows with `input_ids`; those of the result, where both are given, are `labels`,
                -100 at padding.
            return_tensors (`str`, *optional*), kwargs: As of `pad` in transformers.
        """
        found = None
        if input_features is not None:
            found = self.feature_extractor.pad(input_features, return_tensors=return_tensors, **kwargs)
        if labels is not None:
            padded = self.tokenizer.pad(labels, return_tensors=return_tensors, **kwargs)
            if found is None:
                return padded
            found["labels"] = self._without_padding(padded)
        return found

    def _padded(self, rows: list[dict], return_tensors: str) -> Any:
        return self._without_padding(self.tokenizer.pad(rows, padding=True, return_tensors=return_tensors))

    @staticmethod
    def _without_padding(padded: Any) -> Any:
        """Ids with -100 at padding."""
        ids, mask = padded["input_ids"], padded["attention_mask"]
        if isinstance(ids, list):
            pairs = zip(ids, mask, strict=True)
            return [[i if real else -100 for i, real in zip(*pair, strict=True)] for pair in pairs]
        ids[mask == 0] = -100
        return ids

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Texts of what a model is certain of at each step, (B, T): as of the tokenizer."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """The text of one: as of the tokenizer."""
        return self.tokenizer.decode(*args, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """As in transformers."""
        return [*self.feature_extractor.model_input_names, "labels"]


__all__ = ["RecurrentSpeechProcessor"]
