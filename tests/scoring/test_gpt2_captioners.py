"""The scores that look inside a captioner, on those with a GPT-2 and -1 for padding, against one example at a time."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_gpt2 import FEATURES, REGIONS, captions, cross_captioner, prefix_captioner
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.scoring.last_layer import LastLayerGradientNorm
from tfcap.scoring.word_statistics import EL2N
from tfcap.settings import SelectionSettings
from tfcap.training.step import values_of

EXAMPLES, CAPTIONS = 4, 2
CAPTIONERS = {
    "linear prefix": lambda: prefix_captioner(),
    "prefix by an MLP": lambda: prefix_captioner("mlp"),
    "prefix by a transformer": lambda: prefix_captioner("regions"),
    "cross-attention": lambda: cross_captioner(),
}
POOLED = ("linear prefix", "prefix by an MLP")


def _inputs(name):
    """Examples with one caption or two: the second of the last is all padding, with weight 0."""
    shape = [EXAMPLES, FEATURES] if name in POOLED else [EXAMPLES, REGIONS, FEATURES]
    tokens = captions(EXAMPLES * CAPTIONS).reshape(EXAMPLES, CAPTIONS, -1)
    tokens[-1, -1] = -1
    batch = {
        "features": np.random.default_rng(0).normal(size=shape).astype(np.float32),
        "tokens": tokens,
        "weights": (tokens[..., 0] >= 0).astype(np.float32),
    }
    return {key: tf.constant(value) for key, value in batch.items()}


def _arguments(model, name):
    return values_of(model.trainable_variables), values_of(model.non_trainable_variables), _inputs(name)


@pytest.mark.parametrize("signal", [GradientNorm, LastLayerGradientNorm])
@pytest.mark.parametrize("name", CAPTIONERS)
def test_the_norm_is_that_of_each_example_alone(name, signal):
    model, signal = CAPTIONERS[name](), signal(SelectionSettings())
    arguments = _arguments(model, name)
    exact = signal.by_tape(model)(*arguments).numpy()
    assert exact.min() > 1e-2 and np.unique(exact.round(4)).size == EXAMPLES
    np.testing.assert_allclose(signal.compute(model, False)(*arguments), exact, rtol=1e-4)


def test_a_word_statistic_leaves_padding_out():
    model = CAPTIONERS["cross-attention"]()
    inputs, expected = _inputs("cross-attention"), []
    for example in range(EXAMPLES):
        means = []
        for caption in inputs["tokens"][example].numpy():
            length = int((caption >= 0).sum())
            if length:
                alone = {"features": inputs["features"][example : example + 1], "tokens": caption[None, :length]}
                probs = np.exp(model.next_words(alone)[0].numpy()[0].astype(np.float64))
                probs[np.arange(length - 1), caption[1:length]] -= 1
                means.append(np.linalg.norm(probs, axis=-1).mean())
        expected.append(np.mean(means))
    found = EL2N(SelectionSettings()).compute(model, False)(*_arguments(model, "cross-attention"))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
