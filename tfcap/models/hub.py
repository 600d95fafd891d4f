"""Captioners of KerasHub that are used as they are: a picture and a prompt, and what the model writes after them.

Pictures and prompts are prepared by the model's own preprocessor and read by its own code, which fills a cache of keys
and values; the words are chosen by the one decoding core, so that every flag of decoding means what it means elsewhere.

Shapes: B pictures, K beams, P tokens of the prompt, L of the prompt and what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
from keras import ops

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.build import decoding_of
from tfcap.models.decoder_state import State
from tfcap.models.generation import Decoding, generate
from tfcap.models.hub_presets import load_task
from tfcap.settings import Settings

Tensor = Any


class _Search(keras_hub.samplers.Sampler):
    """Stands where KerasHub chooses words, and leaves that to the decoding core.

    Attributes:
      rows: int64 [B], numbers of the pictures, of which draws are a function.
    """

    def __init__(self, decoding: Decoding, marks: Marks, length: int, before: int, batch: int) -> None:
        """P is `length`; `before` counts the vectors in front of the words that are no tokens."""
        super().__init__()
        self.decoding, self.marks, self.length, self.before = decoding, marks, length, before
        self.rows = keras.Variable(np.zeros(batch, np.int64), trainable=False, dtype="int64", name="rows")

    def __call__(
        self,
        next: Callable[..., Any],  # noqa: A002 - KerasHub's name
        prompt: Tensor,
        cache: Any = None,
        index: Any = 0,
        mask: Tensor = None,
        stop_token_ids: Any = None,
        hidden_states: Tensor = None,
        model: Any = None,
    ) -> Tensor:
        """Returns the tokens int32 [B, L] of a prompt [B, L] whose first P are given, 0 after the end."""

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            *parts, seen = state.changing
            logits, _, moved = model.call_with_cache(
                token_ids=tokens[:, None],
                cache=keras.tree.pack_sequence_as(cache, parts),
                cache_update_index=seen[0] + self.before,
            )
            return logits[:, 0], State([*keras.tree.flatten(moved), seen + 1], [])

        seen = ops.full([ops.shape(prompt)[0]], self.length - 1, dtype="int32")
        state = State([*keras.tree.flatten(cache), seen], [])
        rows, new = ops.cast(self.rows, "int32"), prompt.shape[1] - self.length
        tokens, _ = generate(state, step, prompt[:, : self.length], self.marks, new, self.decoding, rows)
        return ops.cast(ops.maximum(tokens, 0), prompt.dtype)


class HubCaptioner:
    """A pretrained model of KerasHub that writes about a picture.

    Attributes:
      model: KerasHub's.
      prompt: what it is told, in its own form.
    """

    TASK: Any  # its class
    MODEL_TYPE: str  # what Hugging Face calls it
    PROMPT: str  # what it is told if nothing else is said
    WORDS = "prompts"  # what its preprocessor calls them
    READS_IMAGES = False  # KerasHub reads how Hugging Face prepares its images

    def __init__(self, checkpoint: str, prompt: str, precision: str, settings: Settings) -> None:
        """Loads it, and says once what all pictures share; raises InputError where it or the prompt cannot be used."""
        self.model = load_task(self.TASK, checkpoint, self.MODEL_TYPE, precision, self.READS_IMAGES)
        self._check_sees(checkpoint)
        self.prompt = self.told(prompt or self.PROMPT)
        self._batch = self.rows(settings.evaluation.eval_batch_size)
        self._length, self._inputs = self._shared(settings.data.max_tokens - 1)
        marks = self.marks()
        self._end = marks.end
        self._search = _Search(decoding_of(settings), marks, self._length, self.vectors_before_words(), self._batch)
        self.model.compile(sampler=self._search, jit_compile=settings.training.xla)
        self._generate = self.model.make_generate_function()

    def _check_sees(self, checkpoint: str) -> None:
        if getattr(self.model.preprocessor, "image_converter", None) is None:
            raise InputError(f"{checkpoint} is of text alone", expected="a model that is given pictures")

    def rows(self, batch: int) -> int:
        """Returns how many rows the model is given for a batch of so many pictures."""
        return batch

    def told(self, prompt: str) -> str:
        """Returns a prompt in the form that the model was trained with."""
        raise NotImplementedError

    def vectors_before_words(self) -> int:
        """Returns how many vectors that stand for the picture are in the cache, beside the tokens."""
        raise NotImplementedError

    def marks(self) -> Marks:
        """Returns what ends a caption, and what is never written."""
        tokenizer = self.model.preprocessor.tokenizer
        return Marks(tokenizer.start_token_id, tokenizer.end_token_id, never=())

    def _shared(self, new: int) -> tuple[int, dict[str, np.ndarray]]:
        """Returns P, and what the model is given for a batch of blank pictures, with room for so many new tokens."""
        prepare, longest = self.model.preprocessor.generate_preprocess, self.model.preprocessor.sequence_length

        def prepared(batch: int, length: int) -> dict[str, np.ndarray]:
            given = {"images": np.zeros([batch, 8, 8, 3], np.uint8), self.WORDS: [self.prompt] * batch}
            found = prepare(given, sequence_length=length)
            return {name: ops.convert_to_numpy(value) for name, value in found.items()}

        length = int(prepared(1, longest)["padding_mask"].sum())
        if length + new > longest:
            raise InputError(
                "The prompt leaves no room for a caption",
                received=f"{length} tokens, and --max_tokens={new + 1}",
                expected=f"together at most {longest + 1}",
            )
        return length, prepared(self._batch, length + new)

    def captions(self, pictures: Sequence[np.ndarray], positions: np.ndarray) -> list[str]:
        """Returns a caption for each picture uint8 [H, W, 3], at most as many as a batch has.

        Args:
          positions: int64 [k], of the pictures, which draws depend on.
        """
        count = len(pictures)
        filled = [*range(count), *[0] * (self._batch - count)]
        prepare = self.model.preprocessor.image_converter
        prepared = [ops.convert_to_numpy(prepare(picture)) for picture in pictures]
        images = np.stack([prepared[index] for index in filled]).reshape(self._inputs["images"].shape)
        self._search.rows.assign(np.asarray(positions, np.int64)[filled])
        found = self._generate({**self._inputs, "images": images}, stop_token_ids=[self._end])
        tokens, before_end = (
            ops.convert_to_numpy(found[name])[:count, self._length :] for name in ("token_ids", "padding_mask")
        )
        return self.texts(tokens, before_end.astype(bool) & (tokens != self._end))

    def texts(self, tokens: np.ndarray, mask: np.ndarray) -> list[str]:
        """Returns the words, on one line, of tokens int32 [B, T] where the mask, bool [B, T], is true."""
        texts = self.model.preprocessor.generate_postprocess({"token_ids": tokens, "padding_mask": mask})
        return [" ".join(str(text).split()) for text in texts]


class Gemma3(HubCaptioner):
    """Gemma 3 with its vision tower, 4B and larger (Gemma Team 2025, https://arxiv.org/abs/2503.19786).

    A prompt is a user's turn with the picture in front; one that has <start_of_image> is taken as it is.
    """

    TASK, MODEL_TYPE = keras_hub.models.Gemma3CausalLM, "gemma3"
    PROMPT = "Describe this image in one short sentence."

    def _check_sees(self, checkpoint: str) -> None:
        super()._check_sees(checkpoint)
        preprocessor, backbone = self.model.preprocessor, self.model.backbone
        if backbone.text_only_model or not preprocessor.tokenizer.has_vision_tokens:
            raise InputError(f"{checkpoint} is of text alone", expected="a Gemma 3 that is given pictures")
        preprocessor.max_images_per_prompt = 1
        preprocessor.num_vision_tokens_per_image = backbone.num_vision_tokens_per_image

    def told(self, prompt: str) -> str:
        if "<start_of_image>" in prompt:
            return prompt
        return f"<start_of_turn>user\n<start_of_image>{prompt.strip()}<end_of_turn>\n<start_of_turn>model\n"

    def rows(self, batch: int) -> int:
        # Keras 3.15 adds [N, 1] to [N, N] as if it were [1, N], and KerasHub adds such rows to the places of N tokens.
        return batch + (batch == self.model.backbone.num_vision_tokens_per_image)

    def _shared(self, new: int) -> tuple[int, dict[str, np.ndarray]]:
        length, inputs = super()._shared(new)
        places, expected = int(inputs["vision_mask"][0].sum()), self.model.backbone.num_vision_tokens_per_image
        if places != expected:
            raise InputError(
                "The prompt must have one place for the picture",
                received=f"{self.prompt!r}, of which the tokenizer makes {places} tokens for pictures",
                expected=f"<start_of_image> once, and {expected}",
            )
        return length, inputs

    def vectors_before_words(self) -> int:
        return 0  # they are in the places of tokens

    def marks(self) -> Marks:
        tokenizer = self.model.preprocessor.tokenizer
        ends = [tokenizer.end_token_id, tokenizer.token_to_id("<end_of_turn>")]
        if "<start_of_turn>" in self.prompt:
            ends.reverse()
        return Marks(tokenizer.start_token_id, ends[0], never=tuple(ends[1:]))


class PaliGemma(HubCaptioner):
    """PaliGemma, 1 and 2 (Beyer et al. 2024, https://arxiv.org/abs/2407.07726), told "caption en" as it was trained.

    From a folder in the form of Hugging Face KerasHub 0.32 reads the 1 alone; the 2 is one of its own presets.
    """

    TASK, MODEL_TYPE = keras_hub.models.PaliGemmaCausalLM, "paligemma"
    PROMPT = "caption en"

    def told(self, prompt: str) -> str:
        return prompt.strip() + "\n"  # which it was trained to write after

    def vectors_before_words(self) -> int:
        return int(self.model.backbone.image_sequence_length)


class BLIP2(HubCaptioner):
    """BLIP-2 with OPT (Li et al. 2023, https://arxiv.org/abs/2301.12597), told "a photo of" as in section 4.2."""

    TASK, MODEL_TYPE = keras_hub.models.BLIP2CausalLM, "blip-2"
    PROMPT = "a photo of"
    WORDS = "text"
    READS_IMAGES = True

    def _check_sees(self, checkpoint: str) -> None:
        super()._check_sees(checkpoint)
        if not hasattr(self.model.backbone.language_model, "call_with_cache"):
            raise InputError(f"{checkpoint} is a BLIP-2 with Flan-T5", expected="one with OPT")

    def told(self, prompt: str) -> str:
        return prompt.strip()

    def vectors_before_words(self) -> int:
        return int(self.model.backbone.num_query_tokens)
