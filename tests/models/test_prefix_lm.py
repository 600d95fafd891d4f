"""The prefix captioner: what its words see, its cache, its padding."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_gpt2 import END, FEATURES, PREFIX, REGIONS, ROOM, captions, decoder, prefix_captioner, stirred
from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.generation import Decoding
from tfcap.models.mappers import LinearMapper
from tfcap.models.prefix_lm import PrefixCaptioner

MAPPERS = ["linear", "mlp", "transformer", "regions"]
TOKENS = captions(4)


def _features(mapper="linear", seed=0):
    shape = [4, REGIONS, FEATURES] if mapper == "regions" else [4, FEATURES]
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    return {mapper: prefix_captioner(mapper) for mapper in MAPPERS}


@pytest.mark.parametrize("mapper", MAPPERS)
def test_steps_with_the_cache_are_the_pass_without_it(made, mapper):
    model, features = made[mapper], _features(mapper)
    expected = model.decoder_logits(features, TOKENS, training=False)
    state = model.start(features)
    for t in range(TOKENS.shape[1]):
        logits, state = model.step(tf.constant(TOKENS[:, t]), state)
        np.testing.assert_allclose(logits, expected[:, t], atol=1e-4)


@pytest.mark.parametrize("mapper", MAPPERS)
def test_every_word_depends_on_the_image(made, mapper):
    found = [made[mapper].decoder_logits(_features(mapper, seed), TOKENS, training=False) for seed in (0, 1)]
    assert np.abs(found[0] - found[1]).max(axis=-1).min() > 1e-3


def test_the_logits_are_those_of_gpt2_behind_the_prefix(made):
    model, features = made["linear"], _features()
    prefix = model.mapper(features)
    vectors = np.concatenate([prefix, model.decoder.words(TOKENS)], axis=1)
    expected = model.decoder.logits(model.decoder(vectors))[:, PREFIX:]
    np.testing.assert_allclose(model.decoder_logits(features, TOKENS, training=False), expected, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_begin_and_end_with_their_marks_and_differ_by_image(made, beams):
    tokens, scores = made["transformer"].generate(_features("transformer"), ROOM, Decoding(beams=beams))
    tokens = tokens.numpy()
    assert tokens.shape == (4, ROOM) and (tokens[:, 0] == END).all() and np.isfinite(scores).all()
    assert len({tuple(row) for row in tokens}) > 1
    for row in tokens:
        ends = np.flatnonzero(row[1:] == END)
        length = ends[0] + 2 if len(ends) else ROOM
        assert (row[:length] >= 0).all() and (row[length:] == -1).all()


def test_a_longer_caption_than_there_is_room_for_is_refused(made):
    with pytest.raises(InputError, match=f"{ROOM + 1} tokens.*at most {ROOM}"):
        made["linear"].generate(_features(), ROOM + 1, Decoding())
    with pytest.raises(InputError, match="33 tokens.*n_positions=32"):
        PrefixCaptioner(made["linear"].encoder, LinearMapper(FEATURES, PREFIX, 12), decoder(), 30).start(_features())


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_of_features_and_vectors_in_training_alone(training):
    features = _features()
    plain = prefix_captioner().decoder_logits(features, TOKENS, training=training).numpy()
    for options in ({"dropout": 0.5}, {"image_dropout": 0.5}):
        found = prefix_captioner(**options).decoder_logits(features, TOKENS, training=training).numpy()
        assert (np.abs(found - plain).max(axis=(1, 2)) > 1e-3).all() == training, options


def test_another_vocabulary_brings_its_own_marks(made):
    model = prefix_captioner(marks=Marks())
    stirred(model, seed=2)
    tokens, _ = model.generate(_features(), ROOM, Decoding())
    assert (tokens.numpy()[:, 0] == Marks().begin).all() and not np.isin(tokens.numpy()[:, 1:], [1, 3]).any()
