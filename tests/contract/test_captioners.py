"""What every captioner promises. A new captioner is a new row of ROWS; every test below then runs over it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcap import registry
from tfcap.data.text import BEGIN, END, PAD, UNKNOWN, WordTokenizer
from tfcap.models.build import build_captioner
from tfcap.models.captioner import Captioner
from tfcap.models.decoder_state import State
from tfcap.models.dropout import STATE
from tfcap.models.generation import Decoding
from tfcap.settings import Settings
from tfcap.training.step import loss_and_gradients, train_step, values_of


@dataclasses.dataclass(frozen=True)
class Row:
    """`settings` make the captioner small; `steps` and `rate` are what it takes to learn four captions by heart."""

    settings: Mapping[str, Any]
    steps: int = 150
    rate: float = 1e-2


SMALL = {"encoder": "small_resnet", "shape": "tiny", "dropout": 0.1}
PREFIX = {**SMALL, "prefix_length": 3}
ROWS = {
    "resnet50_lstm": Row({"encoder": "small_resnet", "units": 24, "embedding_size": 12, "dropout": 0.1}),
    "resnet50_lstm with attention": Row(
        {"encoder": "small_resnet", "units": 24, "embedding_size": 12, "dropout": 0.1, "attention": True}
    ),
    "resnet50_lstm with tied embeddings": Row(
        {"encoder": "small_resnet", "units": 24, "embedding_size": 24, "dropout": 0.1, "tie_embeddings": True}
    ),
    "clip_gpt2": Row(PREFIX, rate=3e-3),
    "clip_gpt2 with an MLP": Row({**PREFIX, "mapper": "mlp"}, rate=3e-3),
    "clip_gpt2 with a transformer": Row({**PREFIX, "mapper": "transformer", "attention": True}, rate=3e-3),
    "vit_gpt2": Row(SMALL, rate=3e-3),
    "git": Row(SMALL, rate=3e-3),
    "vit_llama": Row(PREFIX, rate=3e-3),
    "classifier": Row({"width": 8, "norm": "group"}, steps=60),
}

SIZE, B = 32, 4
TEXTS = ["a red ball", "two small dogs in the snow", "a cat", "the red boat is on the lake"]
TOKENIZER = WordTokenizer.fit(TEXTS, min_count=1, max_tokens=10)
V, T = len(TOKENIZER), TOKENIZER.max_tokens
IMAGES = np.random.default_rng(0).integers(0, 256, [B, SIZE, SIZE, 3]).astype(np.uint8)
TOKENS = TOKENIZER.encode(TEXTS)
CLASSES = np.array([[2], [0], [3], [1]], np.int32)

SLOW = ("clip_gpt2 with an MLP", "clip_gpt2 with a transformer")  # their mappers have tests of their own
every = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ROWS]
)
# Of words that come after one another, which a classifier's one word does not; it is generated in tests/models.
every_of_words = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ROWS if name != "classifier"],
)


def _words(name: str) -> int:
    return len(CLASSES) if name == "classifier" else V


def _make(name: str, **changes: Any) -> Captioner:
    row = {**ROWS[name].settings, "model": name.split()[0], "image_size": SIZE, **changes}
    return build_captioner(Settings().replace(**row).resolve(), _words(name))


@pytest.fixture(scope="module")
def made():
    """One untrained captioner a row, for tests that do not change it."""
    return {name: _make(name) for name in ROWS}


def _inputs(name: str = "", **more: np.ndarray) -> dict[str, tf.Tensor]:
    tokens = CLASSES if name == "classifier" else TOKENS
    batch = {"images": IMAGES, "tokens": tokens, "weights": np.ones(B, np.float32)}
    return {key: tf.constant(value) for key, value in {**batch, **more}.items()}


def _predicted(name: str) -> np.ndarray:
    """Returns the tokens that have a loss, PAD where there is none."""
    return CLASSES if name == "classifier" else TOKENS[:, 1:]


def test_every_registered_captioner_has_a_row():
    """Of two names that differ in the encoder that they have by themselves, one is enough."""
    assert {registry.CAPTIONERS[name.split()[0]] for name in ROWS} == set(registry.CAPTIONERS.values())


@every
def test_losses_are_finite_masked_and_near_those_of_guessing(made, name):
    losses, mask = made[name](_inputs(name))
    assert losses.shape == mask.shape == _predicted(name).shape and losses.dtype == mask.dtype == tf.float32
    np.testing.assert_array_equal(mask, (_predicted(name) != PAD).astype(np.float32))
    assert np.isfinite(losses).all() and not np.any(np.asarray(losses)[np.asarray(mask) == 0])
    assert float(tf.reduce_sum(losses) / tf.reduce_sum(mask)) == pytest.approx(np.log(_words(name)), rel=0.5)


@every
def test_losses_of_images_equal_those_of_their_features(made, name):
    model = made[name]
    features = model.encode(tf.constant(IMAGES))
    assert features.shape[0] == B and features.dtype == tf.float32
    inputs = _inputs(name)
    expected, _ = model(inputs)
    del inputs["images"]
    found, _ = model({**inputs, "features": features})
    np.testing.assert_allclose(found, expected, atol=1e-5)


@every_of_words
def test_a_token_s_loss_does_not_see_the_tokens_after_it(made, name):
    changed = TOKENS.copy()
    changed[:, 4:] = 5
    before, _ = made[name](_inputs())
    after, _ = made[name](_inputs(tokens=changed))
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-5)
    assert not np.allclose(after[:, 4:], before[:, 4:], atol=1e-3)


@every
def test_losses_depend_on_the_image(made, name):
    losses = [np.asarray(made[name](_inputs(name, images=images))[0]) for images in (IMAGES, IMAGES[::-1].copy())]
    assert np.abs(losses[0] - losses[1]).max() > 1e-4


@every_of_words
def test_the_logits_are_what_the_logits_layer_returns(made, name, monkeypatch):
    model, returned = made[name], []
    call = type(model.logits_layer).__call__

    def noted(layer, *arguments, **more):
        found = call(layer, *arguments, **more)
        if layer is model.logits_layer:
            returned.append(found)
        return found

    monkeypatch.setattr(type(model.logits_layer), "__call__", noted)
    logits = model.decoder_logits(model.encode(tf.constant(IMAGES)), tf.constant(TOKENS), training=False)
    np.testing.assert_array_equal(logits, returned[-1])


@every_of_words
def test_several_captions_an_image_equal_as_many_images(made, name):
    grouped = np.stack([TOKENS, TOKENS[::-1]], axis=1)
    found, mask = made[name](_inputs(tokens=grouped))
    assert found.shape == mask.shape == (B, 2, T - 1)
    for caption in range(2):
        expected, _ = made[name](_inputs(tokens=grouped[:, caption]))
        np.testing.assert_allclose(found[:, caption], expected, atol=1e-5)


@every_of_words
def test_decoding_agrees_with_teacher_forcing(made, name):
    """A step's log-probabilities are those that the losses of the same tokens are made of."""
    model = made[name]
    losses, _ = model(_inputs())
    state = model.start(model.encode(tf.constant(IMAGES)))
    for t in range(T - 1):
        logits, state = model.step(tf.constant(np.maximum(TOKENS[:, t], 0)), state)
        assert logits.shape == (B, V)
        expected = -tf.gather(tf.nn.log_softmax(logits), np.maximum(TOKENS[:, t + 1], 0), batch_dims=1)
        present = TOKENS[:, t + 1] != PAD
        np.testing.assert_allclose(expected[present], losses[:, t][present], atol=1e-4)


@every_of_words
def test_the_captions_of_an_image_share_what_is_the_image_s(made, name):
    """Several of each image get the logits that each gets with an image of its own, however large the image is."""
    model, several = made[name], 3
    features = model.encode(tf.constant(IMAGES))
    state, alone = model.start(features), model.start(tf.repeat(features, several, axis=0))
    state = State([tf.repeat(part, several, axis=0) for part in state.changing], state.constant)
    for tokens in np.random.default_rng(0).integers(UNKNOWN + 1, V, [3, B * several]).astype(np.int32):
        logits, state = model.step(tf.constant(tokens), state)
        expected, alone = model.step(tf.constant(tokens), alone)
        np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert {part.shape[0] for part in state.changing} == {B * several}
    assert {part.shape[0] for part in state.constant} <= {B}
    if len(features.shape) == 3:
        larger = model.start(tf.repeat(features, 2, axis=1))
        assert [part.shape for part in larger.changing] == [part.shape for part in model.start(features).changing]


@every_of_words
@pytest.mark.parametrize("beams", [1, 3])
def test_generated_captions_are_tokens_from_begin_to_end(made, name, beams):
    model = made[name]
    tokens, scores = model.generate(model.encode(tf.constant(IMAGES)), T, Decoding(beams=beams))
    assert tokens.shape == (B, T) and tokens.dtype == tf.int32
    assert scores.shape == (B,) and scores.dtype == tf.float32
    assert np.isfinite(scores).all() and (np.asarray(scores) < 0).all()
    for row in np.asarray(tokens):
        ends = np.flatnonzero(row == END)
        length = ends[0] + 1 if len(ends) else T
        assert row[0] == BEGIN and (row[1:length] != PAD).all() and (row[length:] == PAD).all()
        assert not np.isin(row[1:], [BEGIN, UNKNOWN]).any() and row.max() < V


@every_of_words
def test_a_score_is_the_caption_s_mean_log_probability(made, name):
    model = made[name]
    features = model.encode(tf.constant(IMAGES))
    tokens, scores = model.generate(features, T, Decoding())
    for image in range(B):
        row = np.asarray(tokens[image])
        length = int((row != PAD).sum()) - 1
        state, total = model.start(features[image : image + 1]), 0.0
        for t in range(length):
            logits, state = model.step(tf.constant(row[t : t + 1]), state)
            logits = np.asarray(logits[0], np.float64)
            total += logits[row[t + 1]] - np.log(np.exp(logits).sum())
        assert float(scores[image]) == pytest.approx(total / length, abs=1e-4)


@every
def test_the_gradient_reaches_every_trainable_variable(made, name):
    model = made[name]
    compute = loss_and_gradients(model, xla=False, training=False)
    loss, tokens, gradients, _ = compute(
        values_of(model.trainable_variables), values_of(model.non_trainable_variables), _inputs(name)
    )
    assert float(tokens) == (_predicted(name) != PAD).sum() and np.isfinite(float(loss))
    assert len(gradients) == len(model.trainable_variables) > 0
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient.shape == variable.shape and np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path


@every
def test_xla_changes_neither_loss_nor_gradient(made, name):
    model = made[name]
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables), _inputs(name)
    plain = loss_and_gradients(model, xla=False, training=False)(*values)
    compiled = loss_and_gradients(model, xla=True, training=False)(*values)
    assert float(compiled[0]) == pytest.approx(float(plain[0]), rel=1e-5)
    largest = max(np.abs(gradient).max() for gradient in plain[2])
    for variable, ours, theirs in zip(model.trainable_variables, compiled[2], plain[2], strict=True):
        scale = max(np.abs(theirs).max(), 1e-3 * largest)  # the bias of an attention's keys has a gradient of 0
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * scale, err_msg=variable.path)


@every
def test_weight_0_leaves_an_example_out(made, name):
    model = made[name]
    compute = loss_and_gradients(model, xla=False, training=False)
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    masked = compute(*values, _inputs(name, weights=np.array([1, 1, 0, 0], np.float32)))
    alone = compute(*values, {key: value[:2] for key, value in _inputs(name).items()})
    assert float(masked[0]) == pytest.approx(float(alone[0]), rel=1e-5)
    assert float(masked[1]) == float(alone[1])
    for ours, theirs in zip(masked[2], alone[2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@every
def test_paths_of_variables_are_unique_and_the_weights_are_float32(made, name):
    paths = [variable.path for variable in made[name].variables]
    assert len(set(paths)) == len(paths)
    assert {variable.dtype for variable in made[name].trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "resnet50_lstm" else [pytest.mark.slow]) for name in ROWS]
)
def test_it_learns_four_captions_by_heart(name):
    model = _make(name)
    strategy = tf.distribute.get_strategy()
    optimizer = keras.optimizers.AdamW(ROWS[name].rate, weight_decay=0.0)
    optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=False, strategy=strategy)
    first, last = (), ()
    for number in range(ROWS[name].steps):
        last = [float(value) for value in step(_inputs(name), tf.constant(number))]
        first = first or last
    assert last[0] < 0.2 * first[0]
    for beams in (1, 3):
        tokens, _ = model.generate(model.encode(tf.constant(IMAGES)), T, Decoding(beams=beams))
        if name == "classifier":
            np.testing.assert_array_equal(tokens, CLASSES)
        else:
            assert TOKENIZER.decode(np.asarray(tokens)) == TEXTS
    drawn = [v for v in model.non_trainable_variables if v.path.endswith(STATE)]
    assert all(not np.any(variable.numpy()) for variable in drawn)  # a step leaves no random state behind
