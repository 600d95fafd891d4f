"""The published sizes against PyTorch on the same random weights: logits, and greedy and beam-3 words.

One side is in memory at a time: first PyTorch, whose answers and weights are kept, then ours. The logits are some units
large and sums of thousands of products in float32: they are held to 1e-4 of the largest of them.
"""

import dataclasses
import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from tests.parity.sequences import padded, with_noise
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.generation import Decoding, generate
from tfcap.models.git_captioner import GITCaptioner
from tfcap.models.git_checkpoint import GITVit, load_git
from tfcap.models.gpt2 import load_gpt2
from tfcap.models.llama import load_llama
from tfcap.models.llama_shape import LLAMA_3_2_1B
from tfcap.models.vit import Vit
from tfcap.models.vit_gpt2 import load_vision_encoder_decoder

pytestmark = [pytest.mark.parity, pytest.mark.slow, pytest.mark.timeout(3600)]

B, T, PROMPT, NEW = 2, 16, 4, 8
ROOM, SIDE, NOISE, BEAMS = PROMPT + NEW, 224, 0.05, (1, 3)
PIXELS = np.random.default_rng(0).normal(size=[B, 3, SIDE, SIDE]).astype(np.float32)


class _Words:
    """A language model, which is given a text alone."""

    def __init__(self, decoder: Any) -> None:
        self.decoder, self.marks, self.step = decoder, decoder.marks, decoder.step

    def logits(self, tokens: tf.Tensor) -> tf.Tensor:
        return self.decoder.logits(self.decoder(self.decoder.words(tokens)))

    def start(self) -> list[tf.Tensor]:
        return self.decoder.empty_state(B, ROOM)


class _Captions:
    """A captioner, which is given the pixels too, as its encoder takes them."""

    def __init__(self, captioner: Any) -> None:
        self.captioner, self.marks, self.step = captioner, captioner.marks, captioner.step
        self.features = captioner.encoder(PIXELS.transpose(0, 2, 3, 1))

    def logits(self, tokens: tf.Tensor) -> tf.Tensor:
        return self.captioner.decoder_logits(self.features, tokens, training=False)

    def start(self) -> list[tf.Tensor]:
        return self.captioner.start(self.features)


def _pair() -> torch.nn.Module:
    configs = transformers.ViTConfig(), transformers.GPT2Config()
    model = transformers.VisionEncoderDecoderModel(
        transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(*configs)
    )
    model.generation_config.decoder_start_token_id = 50256
    return model


def _llama() -> torch.nn.Module:
    said = dataclasses.asdict(LLAMA_3_2_1B)
    rope = {"rope_type": "llama3", "rope_theta": said.pop("rope_theta"), **said.pop("rope_scaling")}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**said, rope_parameters=rope))


@dataclasses.dataclass(frozen=True)
class Row:
    """Both sides; `words` is what PyTorch calls the tokens, and `marks` are the begin and the end."""

    theirs: Callable[[], torch.nn.Module]
    ours: Callable[[Path], _Words | _Captions]
    marks: tuple[int, int]
    words: str = "input_ids"
    sees: bool = False
    beams_part: bool = True  # from the greedy words; in a GIT of such weights one word follows itself


ROWS = {
    "GPT-2, 124M": Row(
        lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config()),
        lambda folder: _Words(load_gpt2(Checkpoint(folder, "base"))),
        (50256, 50256),
    ),
    "ViT-B/16 and GPT-2, 239M": Row(
        _pair,
        lambda folder: _Captions(
            load_vision_encoder_decoder(Checkpoint(folder, "base"), Vit(str(folder), SIDE, True), ROOM)
        ),
        (50256, 50256),
        "decoder_input_ids",
        sees=True,
    ),
    "GIT base, 177M": Row(
        lambda: transformers.GitForCausalLM(transformers.GitConfig()),
        lambda folder: _Captions(
            GITCaptioner(GITVit(str(folder), SIDE, True), load_git(Checkpoint(folder, "base")), ROOM)
        ),
        (101, 102),
        sees=True,
        beams_part=False,
    ),
    "Llama 3.2 1B": Row(_llama, lambda folder: _Words(load_llama(Checkpoint(folder, "base"))), (128000, 128001)),
}


def _tokens(row: Row) -> np.ndarray:
    """Begin marks and words that every vocabulary has."""
    tokens = np.random.default_rng(1).integers(1000, 30000, [B, T])
    tokens[:, 0] = row.marks[0]
    return tokens


def _by_pytorch(row: Row, folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Writes a model; returns the logits [B, T, V] of the tokens and, for each number of beams, what it says next."""
    torch.manual_seed(0)
    model = with_noise(row.theirs(), NOISE)
    model.save_pretrained(folder)
    tokens, given = torch.tensor(_tokens(row)), {"pixel_values": torch.tensor(PIXELS)} if row.sees else {}
    with torch.no_grad():
        logits = model(**{row.words: tokens}, **given).logits[:, -T:].numpy()
    if row.words == "input_ids":
        given["attention_mask"] = torch.ones([B, PROMPT], dtype=torch.long)
    options = {"do_sample": False, "max_new_tokens": NEW, "eos_token_id": row.marks[1], "pad_token_id": 0}
    found = [model.generate(**{row.words: tokens[:, :PROMPT]}, **given, **options, num_beams=beams) for beams in BEAMS]
    return logits, [padded(each, PROMPT, row.marks[1], ROOM) for each in found]


@pytest.mark.parametrize("name", ROWS)
def test_logits_and_words_are_those_of_pytorch(name):
    row = ROWS[name]
    with tempfile.TemporaryDirectory() as folder:  # of gigabytes, of which pytest would keep some
        expected, words = _by_pytorch(row, Path(folder))
        gc.collect()
        ours = row.ours(Path(folder))
    tokens = _tokens(row).astype(np.int32)
    assert (ours.marks.begin, ours.marks.end) == row.marks
    np.testing.assert_allclose(ours.logits(tf.constant(tokens)), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    if row.sees:
        assert np.ptp(expected[:, 0], axis=0).max() > 0.1  # after equal words, by what the images are
    for beams, theirs in zip(BEAMS, words, strict=True):
        state = ours.start()
        for t in range(PROMPT - 1):
            _, state = ours.step(tf.constant(tokens[:, t]), state)
        found, _ = generate(state, ours.step, tf.constant(tokens[:, :PROMPT]), ours.marks, NEW, Decoding(beams=beams))
        np.testing.assert_array_equal(found, theirs)
    assert (words[0] != words[1]).any() == row.beams_part
