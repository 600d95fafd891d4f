"""GIT's decoder: what sees what, its cache against the pass without one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_git import TOY, VOCABULARY
from tfcap.errors import InputError
from tfcap.models.generation import Decoding, generate
from tfcap.models.git import GIT, GITShape
from tfcap.models.weight_table import check_table

B, R, T, FEATURES = 3, 5, 10, 7
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, VOCABULARY, [B, T]).astype(np.int32)
IMAGES = RNG.normal(0, 2, [B, R, FEATURES]).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = GIT(GITShape(**TOY), FEATURES)
    rng = np.random.default_rng(0)
    for variable in made.variables:
        variable.assign(variable.numpy() + rng.normal(scale=0.3, size=variable.shape))
    return made


def _logits(model, features=IMAGES, tokens=TOKENS):
    return model.logits(model(model.image_tokens(features), model.words(tokens))).numpy()


def test_the_table_fills_every_weight(model):
    check_table(model.rows(), model.weights)


@pytest.mark.parametrize("first", [1, 4, 9])
@pytest.mark.parametrize("xla", [False, True])
def test_a_prompt_and_steps_with_the_cache_are_the_pass_without_it(model, first, xla):
    @tf.function(jit_compile=xla)
    def run(features, tokens):
        hidden, state = model.extend(tokens[:, :first], model.start(features, T + 2))
        found = [model.logits(hidden)]
        for t in range(first, T):
            logits, state = model.step(tokens[:, t], state)
            found.append(logits[:, None])
        return tf.concat(found, axis=1), state.changing[-1]

    logits, seen = run(tf.constant(IMAGES), tf.constant(TOKENS))
    np.testing.assert_allclose(logits, _logits(model), atol=1e-4)
    assert seen.numpy().tolist() == [T] * B


def test_a_word_changes_what_follows_it_and_nothing_before(model):
    before, tokens = _logits(model), TOKENS.copy()
    tokens[:, 6] = (tokens[:, 6] + 1) % VOCABULARY
    after = _logits(model, tokens=tokens)
    np.testing.assert_allclose(after[:, :6], before[:, :6], atol=1e-5)
    assert (np.abs(after - before)[:, 6:].max(axis=-1) > 1e-3).all()


@pytest.mark.parametrize("token", range(R))
def test_each_token_of_the_image_changes_every_word(model, token):
    features = IMAGES.copy()
    features[:, token] += 3.0
    assert (np.abs(_logits(model, features) - _logits(model)).max(axis=-1) > 1e-3).all()


def test_the_tokens_of_an_image_see_each_other_and_no_word(model):
    """What a word sees of one of them depends on the others: with a single block it would not."""
    changed = IMAGES.copy()
    changed[:, -1] += 3.0
    first, second = (model.start(features, T) for features in (IMAGES, changed))
    layers, heads = TOY["num_hidden_layers"], TOY["num_attention_heads"]
    size = TOY["hidden_size"] // heads
    assert [part.shape for part in first.constant] == [(B, heads, R, size)] * 2 * layers
    keys = [np.asarray(state.constant[2]) for state in (first, second)]  # of the second block
    assert (np.abs(keys[0] - keys[1])[:, :, : R - 1].max(axis=(1, 3)) > 1e-3).all()
    _, after = model.extend(TOKENS, first)
    assert all(part is same for part, same in zip(first.constant, after.constant, strict=True))
    assert [part.shape for part in after.changing[:-1]] == [(B, heads, T, size)] * 2 * layers


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_depend_on_their_own_image(model, beams):
    def run(features):
        begin = tf.fill([len(features), 1], model.marks.begin)
        return generate(model.start(features, 8), model.step, begin, model.marks, 8, Decoding(beams=beams))[0].numpy()

    tokens = run(IMAGES)
    assert tokens.shape == (B, 9) and (tokens[:, 0] == TOY["bos_token_id"]).all()
    np.testing.assert_array_equal(run(IMAGES[1:2]), tokens[1:2])
    assert len({tuple(row) for row in tokens}) > 1


def test_more_words_than_there_are_positions_are_refused(model):
    with pytest.raises(InputError, match="Received: 25 tokens. Expected: at most 24"):
        model.start(IMAGES, 25)
