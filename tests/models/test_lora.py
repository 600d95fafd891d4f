"""Low-rank pairs: what they add, what they leave as it was, and what is saved of them."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from tfcap.errors import InputError
from tfcap.models.dropout import STATE
from tfcap.models.lora import PROJECTIONS, LowRank, adapt, merge
from tfcap.training import checkpoint
from tfcap.training.step import SummedAdamW, train_step

layers = keras.layers
D, WORDS = 6, 5
# Projections as attention layers have them: the shape of one row of their input, and the layer.
BASES = {
    "dense": ((3, D), lambda **more: layers.Dense(5, **more)),
    "into heads": ((3, D), lambda **more: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", **more)),
    "out of heads": ((3, 2, 3), lambda **more: layers.EinsumDense("abcd,cde->abe", (None, 5), bias_axes="e", **more)),
    "kernel turned": ((3, D), lambda **more: layers.EinsumDense("btd,ndh->btnh", (None, 2, 3), **more)),
}


def _low_rank(name, seed=0, **more):
    """A pair whose second half is no longer zero, the projection before it, and an input."""
    keras.utils.set_random_seed(seed)
    shape, make = BASES[name]
    base = make(**more)
    base.build((None, *shape))
    rng = np.random.default_rng(seed)
    layer = LowRank(base, rank=2, alpha=3.0)
    for variable in (layer.up.kernel, *([base.bias] if base.bias is not None else [])):
        variable.assign(rng.normal(size=variable.shape))
    return layer, base, rng.normal(size=[4, *shape]).astype(np.float32)


class Texts(keras.Model):
    """Two blocks over words, with the losses that a training step asks for."""

    def __init__(self, dtype=None):
        super().__init__(name="texts")
        self.words = layers.Embedding(WORDS, D, dtype=dtype)
        self.blocks = [
            keras_hub.layers.TransformerDecoder(8, 2, normalize_first=True, dtype=dtype, name=f"block_{index}")
            for index in range(2)
        ]
        self.next = layers.Dense(WORDS, name="next")
        self.words.build((None, None))
        for layer in (*self.blocks, self.next):
            layer.build((None, None, D))
        self.built = True

    def hidden(self, tokens, training=False):
        x = self.words(tokens)
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def call(self, inputs, training=False):
        logits = self.next(self.hidden(inputs["tokens"], training=training))
        losses = keras.losses.sparse_categorical_crossentropy(inputs["tokens"], logits, from_logits=True)
        return losses, keras.ops.ones_like(losses)


TOKENS = tf.constant(np.random.default_rng(1).integers(0, WORDS, [4, 3]))
INPUTS = {"tokens": TOKENS, "weights": tf.ones([4])}


def _texts(seed=0, **more):
    keras.utils.set_random_seed(seed)
    return Texts(**more)


def _moved(pairs, seed=0):
    rng = np.random.default_rng(seed)
    for pair in pairs:
        pair.up.kernel.assign(rng.normal(size=pair.up.kernel.shape))
    return pairs


def _trained(model, steps=3, seed=0):
    optimizer = SummedAdamW(0.1)
    optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=seed, clip_norm=0.0, xla=False, strategy=tf.distribute.get_strategy())
    losses = [float(step(INPUTS, tf.constant(number))[0]) for number in range(steps)]
    return optimizer, losses


@pytest.mark.parametrize("name", BASES)
def test_the_pair_adds_alpha_over_rank_times_its_product(name):
    layer, base, x = _low_rank(name)
    flat = x.reshape(4, 3, -1)
    down = layer.down.kernel.numpy().reshape(flat.shape[-1], 2)
    up = layer.up.kernel.numpy().reshape(2, -1)
    expected = base(x).numpy() + (1.5 * flat @ down @ up).reshape(base(x).shape)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert np.abs(layer(x) - base(x)).max() > 0.1


@pytest.mark.parametrize("name", BASES)
def test_merged_is_unmerged(name):
    layer, base, x = _low_rank(name)
    before = layer(x).numpy()
    assert layer.merged() is base
    np.testing.assert_allclose(base(x), before, atol=1e-5)


def test_the_first_of_a_pair_starts_within_its_bound_and_the_second_at_zero():
    keras.utils.set_random_seed(0)
    base = layers.EinsumDense("abcd,cde->abe", (None, 5))
    base.build((None, 3, 20, 5))
    layer = LowRank(base, rank=8, alpha=8.0)
    down = layer.down.kernel.numpy()
    assert 0.09 < np.abs(down).max() <= 0.1 and abs(down.mean()) < 0.01
    assert not layer.up.kernel.numpy().any()


def test_a_new_pair_changes_nothing_and_only_pairs_train():
    model = _texts()
    before, variables = model.hidden(TOKENS).numpy(), list(model.weights)
    pairs = adapt(model, rank=2, alpha=4.0)
    np.testing.assert_array_equal(model.hidden(TOKENS), before)
    assert len(pairs) == 8
    expected = {id(kernel) for pair in pairs for kernel in (pair.down.kernel, pair.up.kernel)}
    assert {id(variable) for variable in model.trainable_variables} == expected
    assert {id(variable) for variable in variables} < {id(variable) for variable in model.weights}
    assert {variable.path for variable in model.trainable_variables} == {
        f"block_{index}/self_attention/{name}/{half}/kernel"
        for index in range(2)
        for name in ("query", "key", "value", "attention_output")
        for half in ("down", "up")
    }


@pytest.mark.parametrize("projections", [("query", "value"), ("output",)])
def test_pairs_are_put_where_they_are_asked_for(projections):
    model = _texts()
    pairs = adapt(model.blocks[1], 2, 4.0, projections=projections)
    attention = model.blocks[1]._self_attention_layer
    found = [name for name in PROJECTIONS if isinstance(getattr(attention, f"_{name}_dense"), LowRank)]
    assert tuple(found) == projections and len(pairs) == len(projections)
    assert model.blocks[0].trainable_variables and model.next.trainable_variables


@pytest.mark.parametrize("frozen_before", [False, True])
def test_training_moves_the_pairs_and_no_other_weight_by_a_bit(frozen_before):
    model = _texts()
    for block in model.blocks:
        block.trainable = not frozen_before
    frozen = list(model.weights)
    values = [variable.numpy() for variable in frozen]
    pairs = adapt(model, 2, 4.0, dropout=0.1)
    _, losses = _trained(model)
    assert losses[-1] < losses[0]
    for variable, value in zip(frozen, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    assert all(pair.up.kernel.numpy().any() for pair in pairs)


def test_a_merged_model_is_the_adapted_one_with_the_layers_that_it_had_before():
    model = _texts()
    names = [variable.path for variable in model.weights]
    _moved(adapt(model, 2, 4.0, dropout=0.5))
    before = model.hidden(TOKENS).numpy()
    merge(model)
    np.testing.assert_allclose(model.hidden(TOKENS), before, atol=1e-5)
    assert sorted(variable.path for variable in model.weights) == sorted(names)
    assert not any(isinstance(layer, LowRank) for layer in model._flatten_layers())
    assert len(adapt(model, 2, 4.0)) == 8


def test_dropout_is_of_what_the_pairs_are_given_and_a_function_of_its_state():
    model = _texts()
    pairs = adapt(model, 2, 4.0, dropout=0.5)
    np.testing.assert_array_equal(model.hidden(TOKENS, training=True), model.hidden(TOKENS))
    _moved(pairs)
    states = [variable for variable in model.variables if variable.path.endswith(STATE)]
    assert len(states) == 8

    def run(stream):
        for index, state in enumerate(states):
            state.assign([stream + index, 7, 0])
        return model.hidden(TOKENS, training=True).numpy()

    first = run(1)
    np.testing.assert_array_equal(run(1), first)
    assert np.abs(run(20) - first).max() > 1e-3
    assert np.abs(model.hidden(TOKENS) - first).max() > 1e-3


def test_a_checkpoint_holds_the_pairs_alone_and_restores_them(tmp_path):
    model = _texts()
    pairs = adapt(model, 2, 4.0)
    optimizer, _ = _trained(model)
    checkpoint.save(tmp_path, model, optimizer, {"step": 3}, best=True, writes=True)
    saved = load_file(checkpoint.find(tmp_path) / "state.safetensors")
    of_model = {name.removeprefix("model/"): array for name, array in saved.items() if name.startswith("model/")}
    assert len(of_model) == 2 * len(pairs) and set(of_model) == {v.path for v in model.trainable_variables}
    assert sum(array.size for array in of_model.values()) == 2 * 4 * 2 * (D + D)  # blocks, projections, rank, sides
    again = _texts()
    adapt(again, 2, 4.0)
    assert np.abs(again.hidden(TOKENS) - model.hidden(TOKENS)).max() > 1e-3
    checkpoint.restore(checkpoint.find(tmp_path), again)
    np.testing.assert_array_equal(again.hidden(TOKENS), model.hidden(TOKENS))


def test_the_pairs_of_a_base_in_low_precision_are_kept_in_float32():
    layer, base, x = _low_rank("into heads", dtype="bfloat16")
    assert base.kernel.dtype == "bfloat16" and layer.down.kernel.dtype == layer.up.kernel.dtype == "float32"
    found = layer(x)
    assert found.dtype == tf.bfloat16
    update = 1.5 * np.tensordot(np.tensordot(x, layer.down.kernel, 1), layer.up.kernel, 1)
    np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(base(x), tf.float32) + update, rtol=0.05, atol=0.05)
    layer.merged()
    np.testing.assert_allclose(tf.cast(base(x), tf.float32), tf.cast(found, tf.float32), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("rank", "projections", "named"),
    [(0, PROJECTIONS, "rank 0"), (2, ("query", "gate"), "rank 2 on query, gate"), (2, (), "rank 2 on nothing")],
)
def test_a_rank_or_a_projection_that_cannot_be_is_refused(rank, projections, named):
    model = _texts()
    with pytest.raises(InputError, match=f"Received: {named}.*at least 1 on some of query, key, value, output"):
        adapt(model, rank, 4.0, projections=projections)
    assert model.next.trainable_variables


def test_a_layer_without_attention_or_with_pairs_is_refused():
    model = _texts()
    with pytest.raises(ValueError, match="next holds no attention layer"):
        adapt(model.next, 2, 4.0)
    adapt(model, 2, 4.0)
    with pytest.raises(ValueError, match="block_0 holds low-rank pairs already"):
        adapt(model.blocks[0], 2, 4.0)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: layers.Dense(5, activation="relu"), "an activation"),
        (lambda: layers.EinsumDense("abgc,gcd->abgd", (None, 2, 5)), "abgc,gcd->abgd"),
        (lambda: layers.EinsumDense("...x,xy->...y", 5), "\\.\\.\\.x,xy->\\.\\.\\.y"),
    ],
)
def test_a_projection_that_has_no_pair_is_refused(make, named):
    base = make()
    base.build((None, 3, 2, 4))
    with pytest.raises(ValueError, match=f"No low-rank pair is known for .*{named}"):
        LowRank(base, 2, 4.0)
