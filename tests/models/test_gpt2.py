"""The GPT-2 decoder: its cache against the pass without one, its table, and what it refuses to read."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tests.models.toy_gpt2 import END, TOY, VOCABULARY, config
from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.generation import Decoding, generate
from tfcap.models.gpt2 import GPT2, GPT2Shape, load_gpt2
from tfcap.models.transformer_shapes import shape_of
from tfcap.models.weight_table import check_table, tensors_of

TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, [3, 10]).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = GPT2(GPT2Shape(**TOY))
    rng = np.random.default_rng(0)
    for variable in made.variables:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return made


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    save_file(tensors_of(model.rows()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config()), encoding="utf-8")
    return folder


def _written(folder, tmp_path, **changes):
    (tmp_path / "config.json").write_text(json.dumps(config(**changes)), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    return Checkpoint(tmp_path, "toy")


def test_the_table_fills_every_weight_and_both_directions_agree(model, checkpoint):
    check_table(model.rows(), model.weights)
    again = load_gpt2(Checkpoint(checkpoint, "toy"))
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize("first", [1, 4, 9])
@pytest.mark.parametrize("xla", [False, True])
def test_a_prefix_and_steps_with_the_cache_are_the_pass_without_it(model, first, xla):
    expected = model.logits(model(model.words(TOKENS))).numpy()

    @tf.function(jit_compile=xla)
    def run(tokens):
        hidden, state = model.extend(model.words(tokens[:, :first]), model.empty_state(3, 12))
        found = [model.logits(hidden)]
        for t in range(first, 10):
            logits, state = model.step(tokens[:, t], state)
            found.append(logits[:, None])
        return tf.concat(found, axis=1), state.changing[-1]

    logits, seen = run(tf.constant(TOKENS))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert seen.numpy().tolist() == [10, 10, 10]


def test_a_vector_does_not_see_those_after_it(model):
    vectors = model.words(TOKENS).numpy()
    before = model(vectors).numpy()
    vectors[:, 6:] = 1.0
    np.testing.assert_allclose(model(vectors).numpy()[:, :6], before[:, :6], atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_follow_a_prefix_of_vectors_and_depend_on_it(model, beams):
    """As a picture's: vectors that are no words fill the cache before the first word."""
    prefix = np.random.default_rng(1).normal(0, 3, [3, 5, TOY["n_embd"]]).astype(np.float32)

    def run(prefix):
        _, state = model.extend(prefix, model.empty_state(len(prefix), 5 + 8))
        begin = tf.fill([len(prefix), 1], model.marks.begin)
        return generate(state, model.step, begin, model.marks, 8, Decoding(beams=beams))[0].numpy()

    tokens = run(prefix)
    assert tokens.shape == (3, 9) and (tokens[:, 0] == END).all()
    np.testing.assert_array_equal(run(prefix[1:2]), tokens[1:2])
    assert len({tuple(row) for row in tokens}) > 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_embd": 13}, "n_embd=13 and n_head=3"),
        ({"n_layer": 0}, "n_layer=0"),
        ({"n_head": "3"}, "n_head='3'"),
        ({"eos_token_id": 30}, "eos_token_id=30"),
        ({"activation_function": "relu"}, "activation_function='relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"add_cross_attention": 1}, "add_cross_attention=1"),
    ],
)
def test_a_configuration_that_is_not_covered_is_refused(changes, named):
    with pytest.raises(InputError, match="config.json of toy describes no GPT-2") as caught:
        shape_of(GPT2Shape, config(**changes), "toy")
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_more_tokens_than_positions_are_refused(model):
    """The last position would silently serve all further tokens."""
    assert model.empty_state(2, TOY["n_positions"]).changing[0].shape[2] == TOY["n_positions"]
    with pytest.raises(InputError, match="no positions for so many tokens.*33 tokens.*at most n_positions=32"):
        model.empty_state(2, TOY["n_positions"] + 1)


def test_weights_of_another_size_are_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match="of another shape") as caught:
        load_gpt2(_written(checkpoint, tmp_path, n_embd=24))
    assert "attn.c_attn.weight is [12, 36] and not [24, 72]" in str(caught.value)


def test_what_a_configuration_leaves_out_is_the_small_gpt2():
    shape = shape_of(GPT2Shape, {"model_type": "gpt2"}, "toy")
    assert (shape.n_embd, shape.n_layer, shape.n_head) == (768, 12, 12)
    assert (shape.vocab_size, shape.eos_token_id) == (50257, 50256)
