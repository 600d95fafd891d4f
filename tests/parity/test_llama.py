"""Llama against PyTorch on the same weights: grouped heads, scaled rotation, one table or two."""

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from tests.models.toy_llama import GROUPED, PLAIN, VOCABULARY
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.llama import load_llama
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, [3, 40])
SHAPES = {"grouped, scaled, tied": GROUPED, "plain": PLAIN}


def _random(said, seed: int = 0) -> transformers.LlamaForCausalLM:
    """A model whose logits differ by some units."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**said)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


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


def test_greedy_words_by_the_cache_are_those_of_generate(both):
    theirs, ours = both
    prompt, new = TOKENS[:, :5], 12
    expected = theirs.generate(
        torch.tensor(prompt),
        attention_mask=torch.ones(prompt.shape, dtype=torch.long),
        do_sample=False,
        max_new_tokens=new,
        min_new_tokens=new,  # so that none ends
        pad_token_id=0,
    ).numpy()
    tokens = prompt.astype(np.int32)
    _, state = ours.extend(ours.words(tokens[:, :-1]), ours.empty_state(3, 5 + new))
    for _ in range(new):
        logits, state = ours.step(tokens[:, -1], state)
        allowed = logits.numpy()
        allowed[:, ours.shape.eos_token_id] = -np.inf
        tokens = np.concatenate([tokens, allowed.argmax(-1)[:, None].astype(np.int32)], axis=1)
    np.testing.assert_array_equal(tokens, expected)
    assert len(np.unique(tokens[:, 5:])) > 5


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
