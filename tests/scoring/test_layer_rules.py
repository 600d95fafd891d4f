"""Every layer rule against a gradient tape over one example at a time. A new rule is a new row of ROWS."""

import dataclasses
from collections.abc import Callable

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras_hub.src.models.llama.llama_layernorm import LlamaLayerNorm

from tfcap.errors import InputError
from tfcap.models.batch_norm import BatchNorm
from tfcap.models.clip import VisionShape, VisionTower
from tfcap.models.lora import LowRank, adapt
from tfcap.models.lstm import HoistedLSTM
from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.vit import VitTower
from tfcap.scoring.layer_rules import instantiate
from tfcap.scoring.rules import RULES
from tfcap.scoring.taps import recording, rules_for

layers = keras.layers
EXAMPLES, WORDS = 4, 5


class Net(keras.Model):
    """A model of a few layers and a function that uses them."""

    def __init__(self, parts, use):
        super().__init__()
        self.parts, self.use = parts, use

    def call(self, x):
        return self.use(self.parts, x)


def _with_lora(layer, shape):
    layer.build(shape)
    layer.enable_lora(2, lora_alpha=3)
    return layer


def _low_rank(layer, *shapes):
    layer.build(*shapes)
    if isinstance(layer, layers.Dense):
        return LowRank(layer, 2, 3.0)
    adapt(layer, 2, 3.0)
    return layer


def _llama_block():
    (block,) = keras_hub.models.Llama3Backbone(
        vocabulary_size=2, num_layers=1, num_query_heads=2, num_key_value_heads=1, hidden_dim=4, intermediate_dim=3
    ).transformer_layers
    adapt(block, 2, 3.0)
    return block


def _attention(parts, x):
    mix, scale, cross = parts
    return cross(scale(mix(x, x, use_causal_mask=True)), x[:, :2])


def _hoisted(parts, x):
    start, lstm = parts
    h, c = keras.ops.split(start(x[:, 0]), 2, axis=-1)
    return lstm(x, h, c)


@dataclasses.dataclass(frozen=True)
class Row:
    """`types` are the layer types whose rules the row is for; `shape` is that of one row of floats, or of word ids."""

    types: tuple[type, ...]
    parts: Callable[[], list]
    use: Callable = lambda parts, x: parts[0](x)
    shape: tuple[int, ...] = (3, 4)
    ids: bool = False


def _tied(**arguments):
    return Row(
        (layers.ReversibleEmbedding,),
        lambda: [layers.ReversibleEmbedding(WORDS, 4, **arguments), layers.Dense(4, activation="tanh")],
        lambda parts, ids: parts[0](parts[1](parts[0](ids)), reverse=True),
        (6,),
        ids=True,
    )


def _one(kind, *arguments, shape=(3, 4), **named):
    return Row((kind,), lambda: [kind(*arguments, **named)], shape=shape)


TOY = {"hidden_size": 6, "intermediate_size": 5, "num_hidden_layers": 1, "num_attention_heads": 2}
TOY |= {"image_size": 4, "patch_size": 2}


def _tower(make):
    types = (layers.Conv2D, layers.Embedding, keras_hub.layers.PositionEmbedding)
    types += (layers.LayerNormalization, layers.EinsumDense, layers.Dense)
    return Row(types, lambda: [make()], lambda parts, x: parts[0].patches(x) * parts[0](x)[:, None, :1], (4, 4, 3))


def _masked(kind, **arguments):
    """A recurrence over word ids, of which 0 is no word."""
    return Row(
        (kind,),
        lambda: [layers.Embedding(WORDS, 4, mask_zero=True), kind(3, **arguments)],
        lambda parts, ids: parts[1](parts[0](ids)),
        (6,),
        ids=True,
    )


ROWS = {
    "dense": _one(layers.Dense, 5),
    "dense, more places than weights": _one(layers.Dense, 3, shape=(40, 2)),
    "dense with an activation": _one(layers.Dense, 5, activation="gelu"),
    "dense without a bias": _one(layers.Dense, 5, use_bias=False),
    "dense over one vector": _one(layers.Dense, 5, shape=(4,)),
    "dense, lora": Row((layers.Dense,), lambda: [_with_lora(layers.Dense(5, activation="tanh"), (None, 3, 4))]),
    "dense called twice": Row((layers.Dense,), lambda: [layers.Dense(4)], lambda p, x: p[0](keras.ops.tanh(p[0](x)))),
    "einsum, heads": _one(layers.EinsumDense, "abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"),
    "einsum, heads joined": _one(
        layers.EinsumDense, "abcd,cde->abe", output_shape=(None, 5), bias_axes="e", shape=(3, 2, 4)
    ),
    "einsum, dots": _one(layers.EinsumDense, "...x,xy->...y", output_shape=5, bias_axes="y", activation="relu"),
    "einsum, groups": _one(layers.EinsumDense, "abgc,gcd->abgd", output_shape=(None, 2, 5), shape=(3, 2, 4)),
    "einsum, bias of one axis": _one(layers.EinsumDense, "abc,cde->abde", output_shape=(None, 2, 3), bias_axes="d"),
    "einsum, kernel turned": _one(layers.EinsumDense, "abc,dc->abd", output_shape=(None, 5), bias_axes="d"),
    "einsum, lora": Row(
        (layers.EinsumDense,),
        lambda: [
            _with_lora(layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"), (None, 3, 4))
        ],
    ),
    "embedding": Row((layers.Embedding,), lambda: [layers.Embedding(WORDS, 4)], shape=(6,), ids=True),
    "embedding, tied": _tied(),
    "embedding, tied, capped logits": _tied(logit_soft_cap=2.0),
    "embedding, not tied": _tied(tie_weights=False),
    "token and position embedding": Row(
        (layers.ReversibleEmbedding, keras_hub.layers.PositionEmbedding),
        lambda: [keras_hub.layers.TokenAndPositionEmbedding(WORDS, 8, 4)],
        shape=(6,),
        ids=True,
    ),
    "layer norm": _one(layers.LayerNormalization),
    "layer norm without a scale": _one(layers.LayerNormalization, scale=False),
    "rms norm": _one(layers.RMSNormalization),
    "rms norm of KerasHub": _one(keras_hub.layers.RMSNormalization, 4),
    "rms norm of a Llama": _one(LlamaLayerNorm, 4),
    "group norm": _one(layers.GroupNormalization, 2, shape=(3, 3, 4)),
    "batch norm, frozen statistics": _one(layers.BatchNormalization, shape=(3, 3, 4)),
    "batch norm that trains": _one(BatchNorm, shape=(3, 3, 4)),
    "conv": _one(layers.Conv2D, 5, 3, padding="same", activation="relu", shape=(5, 4, 2)),
    "conv, few places of many channels": _one(layers.Conv2D, 40, 3, padding="same", shape=(2, 2, 8)),
    "conv, map smaller than its patches": _one(layers.Conv2D, 64, 3, padding="same", shape=(4, 4, 32)),
    "conv called twice": Row(
        (layers.Conv2D,),
        lambda: [layers.Conv2D(2, 3, padding="same")],
        lambda parts, x: parts[0](keras.ops.tanh(parts[0](x))),
        (4, 4, 2),
    ),
    "conv, strided": _one(layers.Conv2D, 5, (3, 2), strides=2, padding="same", shape=(6, 5, 2)),
    "conv, patches": _one(layers.Conv2D, 5, 2, strides=2, use_bias=False, shape=(4, 4, 3)),
    "conv, dilated": _one(layers.Conv2D, 3, 2, dilation_rate=2, shape=(5, 5, 2)),
    "conv, groups": _one(layers.Conv2D, 6, 3, groups=2, padding="same", shape=(4, 4, 4)),
    "conv, depthwise": _one(layers.DepthwiseConv2D, 3, padding="same", depth_multiplier=2, shape=(5, 4, 3)),
    "conv, depthwise, strided": _one(layers.DepthwiseConv2D, 3, strides=2, shape=(6, 6, 3), activation="relu"),
    "lstm": _one(layers.LSTM, 3, return_sequences=True, shape=(5, 4)),
    "lstm, last output": _one(layers.LSTM, 3, use_bias=False, shape=(5, 4)),
    "lstm, masked": _masked(layers.LSTM, return_sequences=True),
    "lstm, masked, last output": _masked(layers.LSTM),
    "lstm, both ways": Row(
        (layers.LSTM,), lambda: [layers.Bidirectional(layers.LSTM(3, return_sequences=True))], shape=(5, 4)
    ),
    "gru, masked, backwards": _masked(layers.GRU, return_sequences=True, go_backwards=True),
    "gru, masked, zeros": _masked(layers.GRU, return_sequences=True, zero_output_for_mask=True),
    "gru": _one(layers.GRU, 3, return_sequences=True, shape=(5, 4)),
    "gru, reset before": _one(layers.GRU, 3, reset_after=False, return_sequences=True, shape=(5, 4)),
    "lstm of the captioner": Row((HoistedLSTM,), lambda: [layers.Dense(6), HoistedLSTM(3)], _hoisted, shape=(5, 4)),
    "attention, self and cross": Row(
        (layers.EinsumDense,),
        lambda: [layers.MultiHeadAttention(2, 3), layers.LayerNormalization(), layers.MultiHeadAttention(2, 3)],
        _attention,
    ),
    "attention, grouped queries": Row(
        (layers.EinsumDense,),
        lambda: [layers.GroupQueryAttention(2, 4, 2)],
        lambda parts, x: parts[0](x, x),
    ),
    "dense, low-rank pair": Row((), lambda: [_low_rank(layers.Dense(5), (None, 3, 4))]),
    "attention, low-rank pairs": Row(
        (), lambda: [_low_rank(layers.MultiHeadAttention(2, 3), (None, 3, 4), (None, 3, 4))], lambda p, x: p[0](x, x)
    ),
    "transformer decoder of KerasHub, low-rank pairs": Row(
        (), lambda: [_low_rank(keras_hub.layers.TransformerDecoder(8, 2, activation="gelu"), (None, 3, 4))]
    ),
    "block of a Llama of KerasHub, low-rank pairs": Row((), lambda: [_llama_block()]),
    "image tower of ViT": _tower(lambda: VitTower(ImageShape(**TOY), {})),
    "image tower of CLIP": _tower(lambda: VisionTower(VisionShape(**TOY), 3, {})),
    "transformer decoder of KerasHub": Row(
        (layers.EinsumDense, layers.LayerNormalization),
        lambda: [keras_hub.layers.TransformerDecoder(8, 2, activation="gelu")],
        lambda parts, x: parts[0](x, x),
    ),
}


def _net(row, seed=0):
    keras.utils.set_random_seed(seed)
    net = Net(row.parts(), row.use)
    net(_inputs(row, 1))
    rng = np.random.default_rng(seed)
    for variable in net.variables:
        if "seed" not in variable.path:
            low = 0.5 if "variance" in variable.path else -1.0
            variable.assign(rng.uniform(low, 1.0, variable.shape).astype(variable.dtype))
    return net


def _inputs(row, rows):
    rng = np.random.default_rng(1)
    if row.ids:
        return tf.constant(rng.integers(0, WORDS, (EXAMPLES * rows, *row.shape)))
    return tf.constant(rng.normal(size=(EXAMPLES * rows, *row.shape)).astype(np.float32))


def _losses(outputs):
    """One loss an example, its rows weighted unequally."""
    flat = tf.reshape(tf.cast(outputs, tf.float32), [EXAMPLES, -1])
    return tf.reduce_sum(tf.sin(flat) * tf.range(1.0, flat.shape[1] + 1) / flat.shape[1], -1)


def _norms(net, x, xla, rules=RULES, fallback=None):
    found = rules_for(net, rules, fallback)

    @tf.function(jit_compile=xla)
    def compute(x):
        with tf.GradientTape() as tape, recording(found, EXAMPLES, tape.watch) as taps:
            total = tf.reduce_sum(_losses(net(x)))
        gradients = tape.gradient(total, taps.outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return taps.norms(gradients, net.trainable_variables)

    return compute(x).numpy()


def _norms_one_by_one(net, x):
    norms = []
    for example in range(EXAMPLES):
        with tf.GradientTape() as tape:
            loss = _losses(net(x))[example]
        gradients = tape.gradient(loss, [variable.value for variable in net.trainable_variables])
        dense = [tf.convert_to_tensor(gradient).numpy().astype(np.float64) for gradient in gradients]
        norms.append(np.sqrt(sum((gradient**2).sum() for gradient in dense)))
    return np.array(norms)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", ROWS)
def test_the_norm_is_that_of_each_example_alone(name, rows):
    net, x = _net(ROWS[name]), _inputs(ROWS[name], rows)
    expected = _norms_one_by_one(net, x)
    assert expected.min() > 1e-3 and np.unique(expected.round(5)).size == EXAMPLES
    np.testing.assert_allclose(_norms(net, x, xla=False), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_xla_gives_the_same(name):
    net, x = _net(ROWS[name]), _inputs(ROWS[name], 2)
    np.testing.assert_allclose(_norms(net, x, xla=True), _norms(net, x, xla=False), rtol=1e-4)


def test_every_rule_has_a_row():
    assert {kind for row in ROWS.values() for kind in row.types} == set(RULES)


def test_the_layers_call_is_itself_again_afterwards():
    net, x = _net(ROWS["dense"]), _inputs(ROWS["dense"], 1)
    before = net(x).numpy()
    with pytest.raises(RuntimeError, match="within"), recording(rules_for(net, RULES, None), EXAMPLES, lambda t: None):
        raise RuntimeError("within")
    assert "call" not in net.parts[0].__dict__
    np.testing.assert_array_equal(net(x).numpy(), before)


class Scaled(layers.Layer):
    """A layer without a rule."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), name="factor")

    def call(self, x):
        return keras.ops.tanh(x * self.factor)


def test_a_layer_without_a_rule_is_an_error_naming_its_path():
    net = _net(Row((), lambda: [layers.Dense(4), Scaled(name="scaled")], lambda parts, x: parts[1](parts[0](x))))
    with pytest.raises(InputError, match=r"no rule.*scaled \(Scaled\).*--gradient_norm_fallback=instantiate"):
        rules_for(net, RULES, None)


def test_a_subclass_of_a_layer_with_a_rule_has_none():
    class Doubled(layers.Dense):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs)

    with pytest.raises(InputError, match=r"Doubled"):
        rules_for(_net(Row((), lambda: [Doubled(4)])), RULES, None)


# Layers in forms that their rules do not cover, each with how the error names it.
FORMS = {
    r"\(Embedding with LoRA\)": Row(
        (), lambda: [_with_lora(layers.Embedding(WORDS, 4), (None, 6))], shape=(6,), ids=True
    ),
    r"\(Conv2D with LoRA\)": Row((), lambda: [_with_lora(layers.Conv2D(5, 3), (None, 5, 4, 2))], shape=(5, 4, 2)),
    r"\(LayerNormalization with weights along axis 1\)": _one(layers.LayerNormalization, axis=1),
    r"\(LayerNormalization with weights along axis 1, 2\)": _one(layers.LayerNormalization, axis=(1, 2)),
    r"\(BatchNormalization with weights along axis 1\)": _one(layers.BatchNormalization, axis=1),
    r"\(EinsumDense with LoRA on the equation abc,dc->abd\)": Row(
        (), lambda: [_with_lora(layers.EinsumDense("abc,dc->abd", output_shape=(None, 5)), (None, 3, 4))]
    ),
    r"\(EinsumDense with the equation abc,cd->ad, which sums": _one(layers.EinsumDense, "abc,cd->ad", output_shape=5),
}


@pytest.mark.parametrize("words", FORMS)
def test_a_form_without_a_rule_is_an_error_naming_its_path_and_the_fallback_is_exact(words):
    net, x = _net(FORMS[words]), _inputs(FORMS[words], 2)
    with pytest.raises(InputError, match=f"no rule.*{words}.*--gradient_norm_fallback=instantiate") as caught:
        rules_for(net, RULES, None)
    assert "\n" not in str(caught.value)
    np.testing.assert_allclose(_norms(net, x, False, fallback=instantiate), _norms_one_by_one(net, x), rtol=1e-4)


def test_channels_first_is_a_form_without_a_rule():
    """A CPU cannot compute it, so no more is tested."""
    keras.utils.set_random_seed(0)
    net = Net([layers.Conv2D(5, 3, data_format="channels_first")], None)
    net.parts[0].build((None, 2, 5, 5))
    with pytest.raises(InputError, match=r"\(Conv2D with channels first\)"):
        rules_for(net, RULES, None)


@pytest.mark.parametrize("fallback", [None, instantiate])
def test_a_state_that_passes_on_is_an_error_whatever_the_fallback(fallback):
    net = Net([layers.LSTM(3, stateful=True, name="memory")], None)
    net.parts[0].build((4, 5, 4))
    with pytest.raises(InputError, match="state passes from one batch to the next.*memory.*stateful=False"):
        rules_for(net, RULES, fallback)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_fallback_gives_the_same_for_any_layer(rows):
    row = Row((), lambda: [layers.Dense(4), Scaled()], lambda parts, x: parts[1](parts[0](x)))
    net, x = _net(row), _inputs(row, rows)
    np.testing.assert_allclose(_norms(net, x, False, fallback=instantiate), _norms_one_by_one(net, x), rtol=1e-4)


@pytest.mark.parametrize("name", ["conv, groups", "einsum, heads", "layer norm", "dense called twice"])
def test_the_fallback_agrees_with_the_rules(name):
    net, x = _net(ROWS[name]), _inputs(ROWS[name], 2)
    np.testing.assert_allclose(_norms(net, x, False, {}, instantiate), _norms(net, x, False), rtol=1e-4)


def test_one_weight_in_two_layers_is_counted_as_one():
    row = Row((), lambda: [layers.Dense(4), layers.Dense(4)], lambda parts, x: parts[1](keras.ops.tanh(parts[0](x))))
    keras.utils.set_random_seed(0)
    net, x = Net(row.parts(), row.use), _inputs(row, 1)
    net(x)
    first, second = net.parts
    second._tracker.unlock()
    second._trainable_variables[0] = first._kernel
    object.__setattr__(second, "_kernel", first._kernel)
    shared = {id(variable): variable for variable in net.trainable_variables}
    assert len(shared) == 3
    np.testing.assert_allclose(_norms(net, x, False), _norms_one_by_one(net, x), rtol=1e-4)


def test_frozen_weights_do_not_count():
    net, x = _net(ROWS["attention, self and cross"]), _inputs(ROWS["attention, self and cross"], 1)
    whole = _norms(net, x, False)
    net.parts[0].trainable = False
    np.testing.assert_allclose(_norms(net, x, False), _norms_one_by_one(net, x), rtol=1e-4)
    assert (_norms(net, x, False) < whole).all()
