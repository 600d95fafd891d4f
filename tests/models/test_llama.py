"""The Llama decoder: its cache against the pass without one, its table, low-rank pairs in it, and low precision."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tests.models.toy_llama import GROUPED, PLAIN, VOCABULARY, config
from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.llama import Llama, load_llama
from tfcap.models.llama_shape import shape_of
from tfcap.models.lora import adapt, merge
from tfcap.models.weight_table import check_table, tensors_of

TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, [3, 10]).astype(np.int32)


def _made(said, seed=0):
    keras.utils.set_random_seed(seed)
    made = Llama(shape_of(said, "toy"))
    rng = np.random.default_rng(seed)
    for variable in made.weights:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return made


@pytest.fixture(scope="module", params=["grouped", "plain"])
def model(request):
    return _made(GROUPED if request.param == "grouped" else PLAIN)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("llama"), _made(GROUPED)
    save_file(tensors_of(model.rows()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config()), encoding="utf-8")
    return model, folder


def _logits(model):
    return model.logits(model(model.words(TOKENS))).numpy()


def _by_steps(model, first, xla=False):
    """The same through the cache: what comes before `first` at once, then word by word."""

    @tf.function(jit_compile=xla)
    def run(tokens):
        hidden, state = model.extend(model.words(tokens[:, :first]), model.empty_state(3, 12))
        found = [model.logits(hidden)]
        for t in range(first, 10):
            logits, state = model.step(tokens[:, t], state)
            found.append(logits[:, None])
        return tf.concat(found, axis=1), state.changing[-1]

    return run(tf.constant(TOKENS))


@pytest.mark.parametrize("first", [1, 9])
@pytest.mark.parametrize("xla", [False, True])
def test_a_prefix_and_steps_with_the_cache_are_the_pass_without_it(model, first, xla):
    logits, seen = _by_steps(model, first, xla)
    np.testing.assert_allclose(logits, _logits(model), atol=1e-4)
    assert seen.numpy().tolist() == [10, 10, 10]


def test_the_cache_holds_the_heads_of_keys_and_values_alone(model):
    shape = model.shape
    *caches, seen = model.empty_state(3, 12).changing
    assert {tuple(cache.shape) for cache in caches} == {(3, 2, 12, shape.num_key_value_heads, 6)}
    assert len(caches) == shape.num_hidden_layers and seen.shape == (3,)


def test_a_vector_does_not_see_those_after_it(model):
    vectors = model.words(TOKENS).numpy()
    before = model(vectors).numpy()
    vectors[:, 6:] = 1.0
    np.testing.assert_allclose(model(vectors).numpy()[:, :6], before[:, :6], atol=1e-5)


def test_the_table_fills_every_weight_and_both_directions_agree(model, saved):
    check_table(model.rows(), model.weights)
    assert ("lm_head.weight" in tensors_of(model.rows())) is not model.shape.tie_word_embeddings
    first, folder = saved
    again = load_llama(Checkpoint(folder, "toy"))
    for ours, theirs in zip(again.weights, first.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.parametrize("end", [29, [29, 7, 8]])
def test_the_configuration_says_what_it_was_read_from(end):
    model = Llama(shape_of(config(eos_token_id=end, max_position_embeddings=99), "toy"))
    said = json.loads(json.dumps(model.config()))
    assert said["eos_token_id"] == end and said["max_position_embeddings"] == 99 and "more_ends" not in said
    assert shape_of(said, "toy") == model.shape


def test_weights_of_another_size_are_refused(saved, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config(num_key_value_heads=4)), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(saved[1] / "model.safetensors")
    with pytest.raises(InputError, match="of another shape") as caught:
        load_llama(Checkpoint(tmp_path, "toy"))
    assert "self_attn.k_proj.weight is [12, 24] and not [24, 24]" in str(caught.value)


def test_weights_that_make_the_logits_are_wanted_where_the_embedding_does_not(saved, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config(tie_word_embeddings=False)), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(saved[1] / "model.safetensors")
    with pytest.raises(InputError, match=r"missing: lm_head\.weight"):
        load_llama(Checkpoint(tmp_path, "toy"))


def test_low_rank_pairs_are_in_the_cached_steps_and_merge_into_the_table(saved):
    model = load_llama(Checkpoint(saved[1], "toy"))
    plain, table = _logits(model), tensors_of(model.rows())
    pairs = adapt(model, rank=2, alpha=4.0)
    assert len(pairs) == 8 and len(model.trainable_variables) == 16
    np.testing.assert_array_equal(_logits(model), plain)
    rng = np.random.default_rng(1)
    for pair in pairs:
        pair.up.kernel.assign(rng.normal(scale=0.3, size=pair.up.kernel.shape))
    adapted = _logits(model)
    assert np.abs(adapted - plain).max() > 0.1
    np.testing.assert_allclose(_by_steps(model, 4)[0], adapted, atol=1e-4)
    merge(model)
    np.testing.assert_allclose(_logits(model), adapted, atol=1e-4)
    merged = tensors_of(model.rows())
    changed = {name for name, value in merged.items() if not np.array_equal(value, table[name])}
    assert changed == {f"model.layers.{index}.self_attn.{name}_proj.weight" for index in range(2) for name in "qkvo"}


def test_in_low_precision_weights_and_cache_take_two_bytes_and_pairs_and_logits_four(saved):
    exact, model = saved[0], load_llama(Checkpoint(saved[1], "toy"), dtype="bfloat16")
    assert {variable.dtype for variable in model.weights} == {"bfloat16"}
    *caches, seen = model.empty_state(3, 12).changing
    assert {cache.dtype for cache in caches} == {tf.bfloat16} and seen.dtype == tf.int32
    expected, found = _logits(exact), _logits(model)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
    adapt(model, rank=2, alpha=4.0)
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    np.testing.assert_array_equal(_logits(model), found)
    np.testing.assert_allclose(_by_steps(model, 4)[0], found, atol=0.05 * np.abs(expected).max())
