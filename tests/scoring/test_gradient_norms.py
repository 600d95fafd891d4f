"""The pass refuses a captioner whose weights enter in a way that no rule sees."""

import keras
import pytest

from tests.scoring.toy import batches
from tests.training.toy import captioner
from tfcap.errors import InputError
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings


def _signal(**settings):
    return GradientNorm(SelectionSettings(**settings))


def test_a_captioner_that_keeps_to_its_layers_passes_the_check():
    _signal().check(captioner(), batches(3, 2))


def test_a_weight_used_outside_its_layers_call_is_found_out(monkeypatch):
    model = captioner()
    plain = model.decoder_logits

    def tied_by_hand(features, tokens, training):
        words = keras.ops.take(model.embedding.embeddings, tokens, axis=0)
        return plain(features, tokens, training) + keras.ops.sum(words, -1, keepdims=True) * keras.ops.arange(7.0)

    object.__setattr__(model, "decoder_logits", tied_by_hand)
    with pytest.raises(RuntimeError, match="a weight is used outside the call of its layer"):
        _signal().check(model, batches(3, 2))


def test_a_layer_without_a_rule_stops_the_pass_unless_the_fallback_is_asked_for():
    class Odd(keras.layers.Dense):
        """A subclass, which may compute anything."""

    model = captioner()
    odd = Odd(7, name="odd")
    odd.build((None, None, 2))
    model.vocabulary_logits = odd
    with pytest.raises(InputError, match=r"odd \(Odd\)"):
        _signal().compute(model, xla=False)
    _signal(gradient_norm_fallback="instantiate").check(model, batches(3, 2))
