"""Captions of whole splits, decoded in batches on all replicas."""

from __future__ import annotations

from collections.abc import Iterator

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.data.pipeline import Inputs, SequentialBatches
from tfcap.data.subwords import Tokenizer
from tfcap.models.captioner import Captioner
from tfcap.models.generation import Decoding
from tfcap.progress import progress_bar
from tfcap.training.replicated import replicated
from tfcap.training.strategy import Replicas


class Decoder:
    """Decodes with a model's present weights; its compiled function is made once and reused."""

    def __init__(
        self,
        model: Captioner,
        tokenizer: Tokenizer,
        replicas: Replicas,
        decoding: Decoding,
        *,
        xla: bool,
    ) -> None:
        self.tokenizer, self.replicas = tokenizer, replicas
        self._draws = decoding.temperature > 0

        @tf.function(jit_compile=xla)
        def generate(
            parameters: list[tf.Tensor], state: list[tf.Tensor], inputs: dict[str, tf.Tensor]
        ) -> tuple[tf.Tensor, tf.Tensor]:
            mapping = zip(
                [*model.trainable_variables, *model.non_trainable_variables], [*parameters, *state], strict=True
            )
            with keras.StatelessScope(state_mapping=list(mapping)):
                features = inputs["features"] if "features" in inputs else model.encode(inputs["images"])
                return model.generate(features, tokenizer.max_tokens, decoding, inputs.get("rows"))

        self._generate = replicated(model, generate, replicas)

    def captions(
        self, inputs: Inputs, positions: np.ndarray, batch_size: int, title: str = "decoding", progress: bool = True
    ) -> tuple[list[str], np.ndarray]:
        """Returns the caption and its score for each position: list of k, float32 [k].

        A draw is a function of the position, so the same for any batch size.
        """
        texts: list[str] = []
        scores: list[np.ndarray] = []
        with progress_bar(len(positions), title, "image", shown=progress, passing=True) as bar:
            for block, its_texts, score in self.batches(inputs, positions, batch_size):
                texts.extend(its_texts)
                scores.append(score)
                bar.update(len(block))
        return texts, np.concatenate(scores)

    def batches(
        self, inputs: Inputs, positions: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, list[str], np.ndarray]]:
        """Yields the same batch by batch: positions int64 [b], their captions, and their scores float32 [b]."""
        batches = SequentialBatches(inputs, positions, self.replicas.rounded_batch_size(batch_size))
        for block, batch in zip(batches.blocks, batches, strict=True):
            seen = {name: value for name, value in batch.items() if name in ("images", "features")}
            if self._draws:
                seen["rows"] = batch["position"].astype(np.int32)
            tokens, score = self._generate(seen)
            yield block, self.tokenizer.decode(tokens[: len(block)]), score[: len(block)]
