"""Factors packed for the way out of a compiled function."""

import pytest
import tensorflow as tf

from tfcap.scoring.factors import Packed, Product, Rows, Whole, norms
from tfcap.scoring.patches import Patches, Window


def _factors():
    """Of four weights, of which two share a factor, as a recurrence's kernels do."""
    rng = tf.random.Generator.from_seed(0)
    shared, left, recurrent = rng.normal([3, 4, 5]), rng.normal([3, 4, 2]), rng.normal([3, 4, 5])
    window = Window.of((2, 2), (1, 1), (1, 1), "valid", (3, 3))
    return [
        [Product(left, shared)],
        [Product(recurrent, shared)],
        [Product(Rows(tf.constant([[0, 1, 1, 0]] * 3), 7), shared), Product(rng.normal([3, 4, 7]), shared)],
        [Product(Patches(rng.normal([3, 1, 1, 3, 3, 2]), window), rng.normal([3, 1, 4, 6]))],
        [Whole(rng.normal([3, 5]))],
        [],
    ]


@pytest.mark.parametrize("xla", [False, True])
def test_a_tensor_that_factors_share_leaves_a_compiled_function_once_and_the_norms_are_the_same(xla):
    factors = _factors()
    packed = tf.function(lambda: Packed.of(factors), jit_compile=xla)()
    assert len(packed.tensors) == len(tf.nest.flatten(factors)) - 3
    assert packed.factors[0][0].right is packed.factors[1][0].right
    assert packed.factors[2][0].left.count == 7 and packed.factors[3][0].left.window == factors[3][0].left.window
    tf.debugging.assert_near(norms(packed.factors), norms(factors), rtol=1e-5)
