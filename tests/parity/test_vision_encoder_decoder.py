"""Decoders before an image against PyTorch on the same weights: by cross-attention, and behind a prefix."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from safetensors.numpy import load_file

from tests.models.toy_gpt2 import END, TOY, VOCABULARY, stirred
from tests.models.toy_llama import GROUPED
from tests.parity.sequences import common_word, padded, with_noise
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.encoders import Encoder
from tfcap.models.generation import Decoding
from tfcap.models.gpt2 import load_gpt2
from tfcap.models.llama import load_llama
from tfcap.models.mappers import LinearMapper
from tfcap.models.prefix_lm import PrefixCaptioner
from tfcap.models.vit_gpt2 import CrossAttentionCaptioner, load_vision_encoder_decoder
from tfcap.models.vit_llama import LlamaCaptioner
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

B, NEW, SIDE, PREFIX, FEATURES = 6, 16, 8, 3, 5
TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, [B, 9])
PIXELS = np.random.default_rng(0).normal(size=[B, 3, SIDE, SIDE]).astype(np.float32)
POOLED = np.random.default_rng(2).normal(0, 2, [B, FEATURES]).astype(np.float32)
SEARCHES = [
    (1, {}),
    (1, {"no_repeat_ngram_size": 2}),
    (3, {}),
    (3, {"length_penalty": 0.5, "no_repeat_ngram_size": 2, "early_stopping": True}),
]


class Pair(NamedTuple):
    """The same weights in PyTorch and here, and what the decoder knows of each image."""

    theirs: torch.nn.Module
    ours: CrossAttentionCaptioner
    memory: np.ndarray
    folder: str


def _by_generate(model, begins: int, begin_mark: int = END, **options) -> np.ndarray:
    """Tokens [B, 1 + NEW] that `generate` gives, the begin mark first and PAD after the end."""
    end = model.generation_config.eos_token_id
    found = model.generate(do_sample=False, max_new_tokens=NEW, pad_token_id=END if end is None else end, **options)
    begin = np.full([B, 1], begin_mark)
    return padded(np.concatenate([begin, found[:, begins:]], axis=1), 1, end, 1 + NEW)


def _decoding(beams: int, options: dict) -> Decoding:
    return Decoding(
        beams=beams,
        length_penalty=options.get("length_penalty", 1.0),
        no_repeat_ngram=options.get("no_repeat_ngram_size", 0),
        early_stopping=options.get("early_stopping", False),
    )


class _Given(Encoder):
    """Stands for an encoder whose features are given."""

    def __init__(self, size: int) -> None:
        super().__init__(name="encoder")
        self.size = size

    @property
    def feature_size(self) -> int:
        return self.size


@pytest.fixture(scope="module", params=[8, TOY["n_embd"]], ids=["enc_to_dec_proj", "no enc_to_dec_proj"])
def both(request, tmp_path_factory) -> Pair:
    folder, size = tmp_path_factory.mktemp("pair"), request.param
    torch.manual_seed(0)
    vision = transformers.ViTConfig(
        hidden_size=size,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIDE,
        patch_size=4,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        vision, transformers.GPT2Config(**TOY), decoder_start_token_id=END
    )
    theirs = with_noise(transformers.VisionEncoderDecoderModel(config))
    assert hasattr(theirs, "enc_to_dec_proj") == (size != TOY["n_embd"])
    theirs.generation_config.decoder_start_token_id = END
    theirs.generation_config.eos_token_id = None
    free = _by_generate(theirs, 1, pixel_values=torch.tensor(PIXELS))
    theirs.generation_config.eos_token_id = common_word(free[:, 1:], VOCABULARY)
    theirs.save_pretrained(folder)
    with torch.no_grad():
        memory = theirs.encoder(pixel_values=torch.tensor(PIXELS)).last_hidden_state.numpy()
    ours = load_vision_encoder_decoder(Checkpoint(folder, "toy"), _Given(size), 1 + NEW)
    return Pair(theirs, ours, memory, str(folder))


def test_logits_are_those_of_pytorch_with_and_without_the_cache(both):
    with torch.no_grad():
        expected = both.theirs(pixel_values=torch.tensor(PIXELS), decoder_input_ids=torch.tensor(TOKENS)).logits.numpy()
    tokens = tf.constant(TOKENS, tf.int32)
    np.testing.assert_allclose(both.ours.decoder_logits(both.memory, tokens, training=False), expected, atol=1e-4)
    state = both.ours.start(both.memory)
    for t in range(TOKENS.shape[1]):
        logits, state = both.ours.step(tokens[:, t], state)
        np.testing.assert_allclose(logits, expected[:, t], atol=1e-4)
    assert np.abs(expected - expected[::-1])[:, 0].max() > 0.1


def test_the_captions_end_at_many_lengths(both):
    """Otherwise the tests below would say little about ends."""
    tokens = _by_generate(both.theirs, 1, pixel_values=torch.tensor(PIXELS))
    assert len({int((row >= 0).sum()) for row in tokens}) > 2


@pytest.mark.parametrize(("beams", "options"), SEARCHES, ids=str)
def test_captions_are_those_of_generate(both, beams, options):
    expected = _by_generate(both.theirs, 1, pixel_values=torch.tensor(PIXELS), num_beams=beams, **options)
    tokens, _ = both.ours.generate(both.memory, 1 + NEW, _decoding(beams, options))
    np.testing.assert_array_equal(tokens, expected)


def test_writing_the_weights_back_gives_what_the_checkpoint_says_of_them(both):
    written = load_file(f"{both.folder}/model.safetensors")
    expected = {name: value for name, value in written.items() if not name.startswith("encoder.")}
    back = tensors_of(both.ours.rows())
    assert back.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(back[name], value, err_msg=name)


LANGUAGE_MODELS = {
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config(**TOY), load_gpt2, PrefixCaptioner),
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**GROUPED), load_llama, LlamaCaptioner),
}


@pytest.fixture(scope="module", params=LANGUAGE_MODELS)
def prefixed(request, tmp_path_factory) -> tuple[torch.nn.Module, PrefixCaptioner, torch.Tensor]:
    """A language model in PyTorch, the captioner with the same weights, and the captioner's prefixes."""
    folder, (kind, config, load, captioner) = tmp_path_factory.mktemp("decoder"), LANGUAGE_MODELS[request.param]
    torch.manual_seed(0)
    theirs = with_noise(kind(config))
    mapper = stirred(LinearMapper(FEATURES, PREFIX, config.hidden_size))
    prefix = torch.tensor(mapper(POOLED).numpy())
    theirs.generation_config.eos_token_id = None
    free = _behind_by_generate(theirs, prefix)
    theirs.generation_config.eos_token_id = theirs.config.eos_token_id = common_word(free[:, 1:], VOCABULARY)
    theirs.save_pretrained(folder)
    ours = captioner(keras.layers.Identity(), mapper, load(Checkpoint(folder, "toy")), 1 + NEW)
    return theirs, ours, prefix


def _behind(prefix: torch.Tensor, model: torch.nn.Module, tokens: np.ndarray) -> torch.Tensor:
    return torch.cat([prefix, model.get_input_embeddings()(torch.tensor(tokens))], dim=1).detach()


def _behind_by_generate(model: torch.nn.Module, prefix: torch.Tensor, **options) -> np.ndarray:
    begin = model.config.bos_token_id
    given = _behind(prefix, model, np.full([B, 1], begin))
    return _by_generate(model, 0, begin, inputs_embeds=given, **options)


def test_logits_behind_a_prefix_are_those_of_pytorch(prefixed):
    theirs, ours, prefix = prefixed
    with torch.no_grad():
        expected = theirs(inputs_embeds=_behind(prefix, theirs, TOKENS)).logits[:, PREFIX:].numpy()
    found = ours.decoder_logits(POOLED, tf.constant(TOKENS, tf.int32), training=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_behind_a_prefix_are_those_of_generate(prefixed, beams):
    theirs, ours, prefix = prefixed
    expected = _behind_by_generate(theirs, prefix, num_beams=beams)
    assert len({int((row >= 0).sum()) for row in expected}) > 1
    tokens, _ = ours.generate(POOLED, 1 + NEW, Decoding(beams=beams))
    np.testing.assert_array_equal(tokens, expected)
