"""Prefix mappers against their formulas in NumPy."""

import numpy as np
import pytest

from tests.models.toy_gpt2 import FEATURES, stirred
from tfcap.errors import InputError
from tfcap.models.mappers import LinearMapper, MLPMapper, TransformerMapper

B, R, P, D = 3, 4, 2, 6
RNG = np.random.default_rng(0)
POOLED = RNG.normal(size=[B, FEATURES]).astype(np.float32)
GRID = RNG.normal(size=[B, R, FEATURES]).astype(np.float32)


def _dense(layer, x):
    return x @ layer.kernel.numpy() + layer.bias.numpy()


@pytest.mark.parametrize("features", [POOLED, GRID], ids=["pooled", "regions"])
def test_the_linear_mapper_is_one_product(features):
    mapper = stirred(LinearMapper(FEATURES, P, D))
    one = features if features.ndim == 2 else features.mean(axis=1)
    expected = _dense(mapper.products[0], one).reshape(B, P, D)
    np.testing.assert_allclose(mapper(features), expected, atol=1e-5)


@pytest.mark.parametrize("features", [POOLED, GRID], ids=["pooled", "regions"])
def test_the_mlp_has_a_hidden_layer_half_as_wide_as_the_prefix(features):
    mapper = stirred(MLPMapper(FEATURES, P, D))
    hidden, output = mapper.products
    assert hidden.units == P * D / 2
    one = features if features.ndim == 2 else features.mean(axis=1)
    np.testing.assert_allclose(
        mapper(features), _dense(output, np.tanh(_dense(hidden, one))).reshape(B, P, D), atol=1e-5
    )


@pytest.mark.parametrize("features", [POOLED, GRID], ids=["pooled", "regions"])
def test_without_layers_the_transformer_gives_its_constants(features):
    mapper = stirred(TransformerMapper(FEATURES, P, D, layers=0, heads=3, regions=features.ndim == 3))
    constants = np.broadcast_to(mapper.constants.embeddings.numpy(), [B, P, D])
    np.testing.assert_array_equal(mapper(features), constants)


@pytest.mark.parametrize("features", [POOLED, GRID], ids=["pooled", "regions"])
def test_each_vector_of_the_transformer_s_prefix_depends_on_all_of_its_own_image(features):
    mapper = stirred(TransformerMapper(FEATURES, P, D, layers=1, heads=3, regions=features.ndim == 3))
    before, changed = np.asarray(mapper(features)), features.copy()
    changed[1, ..., -1] += 1.0 if features.ndim == 2 else np.array([0.0, 0.0, 0.0, 1.0])  # the last region alone
    after = np.asarray(mapper(changed))
    assert before.shape == (B, P, D)
    assert np.abs(after[1] - before[1]).max(axis=-1).min() > 1e-3
    np.testing.assert_allclose(after[[0, 2]], before[[0, 2]], atol=1e-6)


def test_the_transformer_s_layers_are_as_many_as_said():
    counts = [len(TransformerMapper(FEATURES, P, D, layers=layers, heads=2).weights) for layers in (1, 2, 3)]
    assert counts[1] - counts[0] == counts[2] - counts[1] > 0


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="4 heads, width 6"):
        TransformerMapper(FEATURES, P, D, heads=4)
