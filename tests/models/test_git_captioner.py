"""GIT as a captioner behind any encoder: losses, words one at a time, and exact gradient norms."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_git import TOY
from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.generation import Decoding
from tfcap.models.git import GIT, GITShape
from tfcap.models.git_captioner import GITCaptioner
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings
from tfcap.training.step import values_of

B, C, R, T, V, FEATURES = 4, 2, 3, 6, 9, 5
RNG = np.random.default_rng(0)


def _captioner(**more):
    """With the vocabulary of this program, and weights large enough for no gradient to vanish."""
    keras.utils.set_random_seed(0)
    shape = GITShape(**{**TOY, "vocab_size": V})
    model = GITCaptioner(keras.layers.Identity(), GIT(shape, FEATURES), T, marks=Marks(), **more)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return model


def _batch(regions=True):
    tokens = RNG.integers(4, V, [B, C, T])
    tokens[..., 0] = 1
    tokens[:, 1, 3:] = 0
    features = RNG.normal(size=[B, R, FEATURES] if regions else [B, FEATURES])
    return {
        "features": tf.constant(features, tf.float32),
        "tokens": tf.constant(tokens, tf.int32),
        "weights": tf.ones([B, C]),
    }


@pytest.mark.parametrize("regions", [True, False], ids=["regions", "one vector"])
def test_gradient_norms_are_those_of_each_example_alone(regions):
    model, batch, signal = _captioner(), _batch(regions), GradientNorm(SelectionSettings())
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables), batch
    expected = signal.by_tape(model)(*values).numpy()
    assert expected.min() > 1e-2 and np.unique(expected.round(4)).size == B
    np.testing.assert_allclose(signal.compute(model, False)(*values).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("regions", [True, False], ids=["regions", "one vector"])
def test_steps_give_the_words_that_the_losses_are_made_of(regions):
    model, batch = _captioner(), _batch(regions)
    tokens = batch["tokens"][:, 0]
    losses, _ = model({**batch, "tokens": tokens})
    state = model.start(batch["features"])
    for t in range(T - 1):
        logits, state = model.step(tokens[:, t], state)
        expected = tf.gather(tf.nn.log_softmax(logits), tokens[:, t + 1], batch_dims=1)
        np.testing.assert_allclose(-losses[:, t], expected, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_generated_captions_keep_to_the_captioner_s_own_marks(beams):
    model, batch = _captioner(), _batch()
    tokens, _ = model.generate(batch["features"], T, Decoding(beams=beams))
    assert tokens.shape == (B, T) and not np.isin(tokens[:, 1:], [Marks().begin, *Marks().never[2:]]).any()
    with pytest.raises(InputError, match="Received: 7 tokens. Expected: at most 6"):
        model.generate(batch["features"], T + 1, Decoding(beams=beams))


def test_dropout_is_in_training_alone_and_at_both_sides():
    plain, batch = _captioner(), _batch()
    for more in ({"dropout": 0.5}, {"image_dropout": 0.5}):
        model = _captioner(**more)
        np.testing.assert_allclose(model(batch)[0], plain(batch)[0], atol=1e-5)
        assert np.abs(model(batch, training=True)[0] - plain(batch)[0]).max() > 1e-2


def test_without_marks_of_its_own_they_are_the_decoder_s():
    model = GITCaptioner(keras.layers.Identity(), GIT(GITShape(**TOY), FEATURES), T)
    assert model.marks == Marks(1, 2, never=())
    assert model.logits_layer is model.decoder.vocabulary_logits
