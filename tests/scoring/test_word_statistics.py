"""Word statistics against their definitions, written out in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.scoring.toy import batches
from tests.training.toy import captioner
from tfcap.data.text import PAD
from tfcap.registry import SCORES
from tfcap.settings import SelectionSettings
from tfcap.training.step import values_of

DEFINITIONS = {
    "el2n": lambda p, word: np.linalg.norm(p - np.eye(len(p))[word]),
    "entropy": lambda p, word: -(p * np.log(p)).sum(),
    "margin": lambda p, word: 1 - np.subtract(*np.sort(p)[[-1, -2]]),
}


def _expected(model, batch, definition, reduction):
    """Returns the mean over captions of the mean or the sum over words, one word at a time."""
    scores = []
    for row, (captions, weights) in enumerate(zip(batch["tokens"], batch["weights"], strict=True)):
        means = []
        for caption, weight in zip(captions, weights, strict=True):
            if weight:
                alone = {"features": batch["features"][row : row + 1], "tokens": caption[None]}
                probs = np.exp(model.next_words(alone)[0].numpy()[0].astype(np.float64))
                means.append(
                    getattr(np, reduction)([definition(probs[t], w) for t, w in enumerate(caption[1:]) if w != PAD])
                )
        scores.append(np.mean(means))
    return scores


@pytest.mark.parametrize(("xla", "reduction"), [(False, "mean"), (True, "mean"), (False, "sum")])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_score_is_the_mean_of_its_definition(name, xla, reduction):
    model = captioner(dropout=0.5)  # without effect in evaluation mode
    (batch,) = batches(5, 5)
    inputs = {key: tf.constant(array) for key, array in batch.items() if key != "position"}
    compute = SCORES[name](SelectionSettings(token_reduction=reduction)).compute(model, xla)
    found = compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs).numpy()
    expected = _expected(model, batch, DEFINITIONS[name], reduction)
    assert np.unique(np.round(expected, 4)).size == 5
    np.testing.assert_allclose(found, expected, rtol=1e-4)
