"""The last layer's gradient norm against a gradient tape that sees this layer alone, one example at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.scoring.toy import batches
from tests.training.toy import captioner
from tfcap.data.text import PAD
from tfcap.errors import InputError
from tfcap.scoring.last_layer import LastLayerGradientNorm
from tfcap.settings import SelectionSettings
from tfcap.training.step import values_of

_COUNT = 7
tied_or_not = pytest.mark.parametrize("tied", [False, True])


def _signal(reduction="mean"):
    return LastLayerGradientNorm(SelectionSettings(token_reduction=reduction))


def _found(model, batch, reduction="mean", xla=False):
    inputs = {name: tf.constant(array) for name, array in batch.items() if name != "position"}
    compute = _signal(reduction).compute(model, xla)
    return compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs).numpy()


def _seen_by_the_last_layer(model, features, tokens):
    """Returns the last layer's input [C, T, U], as its last call is given it."""
    layer, seen = model.logits_layer, []
    plain = layer.call
    object.__setattr__(layer, "call", lambda x, *args, **more: (seen.append(x), plain(x, *args, **more))[1])
    try:
        model.decoder_logits(features, tokens, training=False)
    finally:
        del layer.__dict__["call"]
    return seen[-1]


def _by_tape(model, example, reduction):
    """Makes the logits from copies of the layer's weights, which are the only ones that the tape sees."""
    captions = example["tokens"][0][example["weights"][0] > 0]
    features = tf.repeat(tf.constant(example["features"]), len(captions), axis=0)
    seen = _seen_by_the_last_layer(model, features, tf.constant(captions[:, :-1]))
    if model.tie_embeddings:
        weights = [tf.transpose(tf.constant(model.embedding.embeddings.numpy()))]
    else:
        weights = [tf.constant(variable.numpy()) for variable in model.vocabulary_logits.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits = tf.matmul(seen, weights[0]) + (weights[1] if len(weights) == 2 else 0.0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(captions[:, 1:], 0), logits)
        mask = tf.cast(captions[:, 1:] != PAD, tf.float32)
        each = tf.reduce_sum(losses * mask, -1)
        loss = tf.reduce_mean(each / tf.reduce_sum(mask, -1) if reduction == "mean" else each)
    gradients = [gradient.numpy().astype(np.float64) for gradient in tape.gradient(loss, weights)]
    return np.sqrt(sum((gradient**2).sum() for gradient in gradients))


@tied_or_not
@pytest.mark.parametrize(("reduction", "xla"), [("mean", False), ("mean", True), ("sum", False)])
def test_it_is_the_norm_that_a_tape_over_this_layer_gives(tied, reduction, xla):
    model = captioner(dropout=0.5, tie_embeddings=tied)  # without effect in evaluation mode
    (batch,) = batches(_COUNT, _COUNT)
    expected = [_by_tape(model, example, reduction) for example in batches(_COUNT, 1)]
    assert np.unique(np.round(expected, 4)).size == _COUNT
    np.testing.assert_allclose(_found(model, batch, reduction, xla), expected, rtol=1e-4)


@tied_or_not
def test_a_pass_accepts_a_captioner_that_keeps_its_word(tied):
    _signal().check(captioner(tie_embeddings=tied), batches(3, 2))


def test_a_pass_stops_where_something_comes_after_the_last_layer():
    model = captioner()
    plain = model.decoder_logits
    object.__setattr__(model, "decoder_logits", lambda *arguments: 3 * plain(*arguments))
    with pytest.raises(RuntimeError, match="not the softmax of what `logits_layer` returns"):
        _signal().check(model, batches(3, 2))


def test_a_last_layer_that_is_frozen_or_of_a_type_without_a_rule_is_an_error_of_one_line():
    class Odd(keras.layers.Dense):
        """A subclass, which may compute anything."""

    frozen, odd = captioner(), captioner()
    frozen.vocabulary_logits.trainable = False
    odd.vocabulary_logits = Odd(7, name="odd")
    odd.vocabulary_logits.build((None, None, 2))
    for model, words in ((frozen, r"vocabulary_logits \(Dense, 0 trainable weights\)"), (odd, r"odd \(Odd, 2")):
        with pytest.raises(InputError, match=words) as caught:
            _signal().compute(model, xla=False)
        assert "\n" not in str(caught.value)


def test_no_gradient_is_taken(monkeypatch):
    """A forward pass alone."""
    monkeypatch.setattr(tf, "GradientTape", None)
    (batch,) = batches(3, 3)
    assert (_found(captioner(), batch) > 0).all()
