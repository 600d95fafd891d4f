"""Llama against PyTorch on the same weights: grouped heads, scaled rotation, one table or two."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from tests.models.toy_llama import GROUPED, PLAIN, VOCABULARY
from tests.parity.sequences import common_word, padded, with_noise
from tfcap.data.text import PAD
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.generation import Decoding, generate
from tfcap.models.llama import load_llama
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, [3, 40])
PROMPTS, NEW = np.random.default_rng(2).integers(0, VOCABULARY, [8, 5]), 12
SHAPES = {"grouped, scaled, tied": GROUPED, "plain": PLAIN}


def _random(said, seed: int = 0) -> transformers.LlamaForCausalLM:
    """A model whose logits differ by some units."""
    torch.manual_seed(seed)
    return with_noise(transformers.LlamaForCausalLM(transformers.LlamaConfig(**said)))


@pytest.fixture(scope="module", params=SHAPES)
def both(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    theirs = _random(SHAPES[request.param])
    theirs.save_pretrained(folder)
    return theirs, load_llama(Checkpoint(folder, "toy"))


def _expected(theirs):
    with torch.no_grad():
        return theirs(torch.tensor(TOKENS)).logits.numpy()


def test_logits_are_those_of_pytorch_with_and_without_the_cache(both):
    theirs, ours = both
    expected = _expected(theirs)
    assert np.abs(expected).max() > 1
    vectors = ours.words(tf.constant(TOKENS, tf.int32))
    np.testing.assert_allclose(ours.logits(ours(vectors)), expected, atol=1e-4)
    hidden, state = ours.extend(vectors[:, :30], ours.empty_state(3, 40))
    np.testing.assert_allclose(ours.logits(hidden), expected[:, :30], atol=1e-4)
    for t in range(30, 40):
        logits, state = ours.step(tf.constant(TOKENS[:, t], tf.int32), state)
        np.testing.assert_allclose(logits, expected[:, t], atol=1e-4)


def test_scaling_of_the_frequencies_matters_here():
    """Otherwise the test above would say nothing about it."""
    plain = _random({**GROUPED, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}})
    assert np.abs(_expected(plain) - _expected(_random(GROUPED))).max() > 0.1


def _by_generate(model, end: int | None, **options) -> np.ndarray:
    """The prompts and NEW tokens behind them, with PAD after the end."""
    model.generation_config.eos_token_id = end
    found = model.generate(
        torch.tensor(PROMPTS),
        attention_mask=torch.ones(PROMPTS.shape, dtype=torch.long),
        do_sample=False,
        max_new_tokens=NEW,
        pad_token_id=0,
        **options,
    )
    return padded(found, PROMPTS.shape[1], end, PROMPTS.shape[1] + NEW)


@pytest.mark.parametrize(
    ("beams", "options"),
    [(1, {}), (3, {}), (3, {"length_penalty": 0.5, "early_stopping": True})],
    ids=str,
)
def test_words_by_the_cache_are_those_of_generate(both, beams, options):
    theirs, ours = both
    end = common_word(_by_generate(theirs, None)[:, PROMPTS.shape[1] :], VOCABULARY)
    expected = _by_generate(theirs, end, num_beams=beams, **options)
    assert len({int((row != PAD).sum()) for row in expected}) > 1  # or it would say little about ends
    prompt = tf.constant(PROMPTS, tf.int32)
    _, state = ours.extend(ours.words(prompt[:, :-1]), ours.empty_state(len(PROMPTS), expected.shape[1]))
    marks, decoding = dataclasses.replace(ours.marks, end=end), Decoding(beams=beams, **options)
    tokens, _ = generate(state, ours.step, prompt, marks, NEW, decoding)
    np.testing.assert_array_equal(tokens, expected)


def test_writing_the_weights_back_gives_the_checkpoint(both):
    theirs, ours = both
    state = theirs.state_dict()
    tied = ours.shape.tie_word_embeddings
    expected = {name: value.numpy() for name, value in state.items() if name != "lm_head.weight" or not tied}
    written = tensors_of(ours.rows())
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(written[name], value, err_msg=name)


def test_a_decoder_without_its_logits_is_read_as_well(tmp_path):
    theirs = _random(GROUPED)
    theirs.model.save_pretrained(tmp_path)
    ours = load_llama(Checkpoint(tmp_path, "toy"))
    with torch.no_grad():
        expected = theirs.model(torch.tensor(TOKENS)).last_hidden_state.numpy()
    np.testing.assert_allclose(ours(ours.words(tf.constant(TOKENS, tf.int32))), expected, atol=1e-4)
