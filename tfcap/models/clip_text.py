"""CLIP's text tower as a text encoder.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020; in distillation Wu et al. 2024,
https://arxiv.org/abs/2308.07545.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.clip import BUFFERS, TextTower
from tfcap.models.dual_encoder import projection_size_of, text_side
from tfcap.models.text_encoders import TextEncoder, filled_up, room_for
from tfcap.models.weight_table import fill

Tensor = Any

_ELSEWHERE = r"vision_model\..*|visual_projection\.weight|logit_scale"


class ClipText(TextEncoder):
    """The text tower of the CLIP in a folder in the form of Hugging Face, or under hf://user/name[@revision].

    An embedding is what stands at the end of the text, projected [B, D] and not scaled to length 1.
    """

    def __init__(self, weights: str, max_tokens: int) -> None:
        """Reads it.

        Args:
          weights: the folder, or its name on the hub.
          max_tokens: the most tokens of a text, the marks included.

        Raises:
          InputError: there is none, it is damaged, or it is no CLIP with its tokenizer.
        """
        super().__init__(name="text_encoder", dtype="float32")
        checkpoint = open_checkpoint(weights, "text_weights")
        shape, self.tokenizer = text_side(checkpoint, "text_weights", max_tokens)
        self.most_tokens = room_for(max_tokens, self.tokenizer.max_tokens)
        self.width = projection_size_of(checkpoint)
        self.tower = TextTower(shape, self.width, "float32")
        fill(self.tower.rows(), checkpoint, self.tower.weights, f"{BUFFERS}|{_ELSEWHERE}")
        self.built = True

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        found = self.tokenizer.encode(texts)
        return filled_up(found, self.tokenizer.lengths(found))  # a word sees none behind it, so a cut is no change

    def call(self, tokens: Tensor) -> Tensor:
        return self.tower(tokens)

    def settings(self) -> Any:
        return [dataclasses.asdict(self.tower.shape), self.width, self.tokenizer.hash]
