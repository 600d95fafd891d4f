"""The prefix captioner with a Llama for its decoder, which learns by low-rank adapters or as a whole.

Source: the prefix is that of Mokady et al. 2021 (ClipCap), https://arxiv.org/abs/2111.09734, the adapters those of Hu
et al. 2021, https://arxiv.org/abs/2106.09685.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tfcap.quiet  # noqa: F401

import keras

from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.hugging_face import HuggingFace
from tfcap.models.llama import Llama, load_llama
from tfcap.models.llama_shape import SHAPES
from tfcap.models.lora import adapt, merge
from tfcap.models.prefix_lm import PrefixCaptioner
from tfcap.settings import Settings


class LlamaCaptioner(PrefixCaptioner):
    """Encoder, mapper, Llama. With --train=lora every attention projection of the Llama has a pair of its own.

    In mixed precision a Llama whose own weights do not train holds them in bfloat16, as they were published: half of
    the memory. The mapper and the pairs are float32 always.
    """

    @classmethod
    def decoder_of(cls, settings: Settings, vocabulary_size: int) -> Llama:
        model = settings.model
        if model.checkpoint:
            # The policy in force and not --mixed_precision: `tfcap.convert` adds the pairs to weights in float32.
            computes = keras.config.dtype_policy().compute_dtype
            frozen = model.train in ("lora", "projection")
            decoder = load_llama(open_checkpoint(model.checkpoint, "checkpoint"), computes if frozen else None)
        else:
            shape = SHAPES[model.shape]
            decoder = Llama(dataclasses.replace(shape, vocab_size=vocabulary_size))
        decoder.shape.check_room(model.prefix_length + settings.data.max_tokens)
        if model.train == "lora":
            decoder.pairs = adapt(decoder, model.lora_rank, model.lora_alpha, model.lora_dropout)
        return decoder

    def hugging_face(self) -> HuggingFace:
        if getattr(self.decoder, "pairs", []):
            merge(self.decoder)
        found = super().hugging_face()
        ends = {"eos_token_id": list(self.ends)} if len(self.ends) > 1 else {}
        return dataclasses.replace(found, config={**found.config, **ends})

    @property
    def ends(self) -> tuple[int, ...]:
        decoder: Llama = self.decoder
        ends = decoder.shape.ends
        return ends if self.marks.end in ends else super().ends

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        pairs: list[Any] = getattr(self.decoder, "pairs", [])
        adapters = {"lora": [layer for pair in pairs for layer in (pair.down, pair.up)]} if pairs else {}
        return {**super().parts(), **adapters}
