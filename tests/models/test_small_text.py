"""The small text encoder: its seed, what it can learn, and what is said of folders that hold none."""

import json

import keras
import numpy as np
import pytest

from tests.models.toy_bert import write_bert
from tfcap.data.text import WordTokenizer
from tfcap.errors import InputError
from tfcap.models.small_text import SmallText, saved

THINGS = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("ball", "cube", "star")]
PAIRS = [(one, other) for one in THINGS for other in THINGS if one != other]
TEXTS = [f"a {one} is {place} of a {other}" for one, other in PAIRS for place in ("left", "right")]


def _tokenizer(most=24):
    return WordTokenizer.fit(TEXTS, 1, most)


def _embedded(encoder, texts=TEXTS[:3]):
    return np.asarray(encoder(encoder.tokens(texts)))


def test_its_weights_are_a_function_of_the_seed():
    keras.utils.set_random_seed(1)
    first = SmallText(_tokenizer(), 0)
    keras.utils.set_random_seed(2)
    assert SmallText(_tokenizer(), 0).identity() == first.identity() != SmallText(_tokenizer(), 1).identity()


def test_what_is_saved_is_what_is_read(tmp_path):
    encoder = SmallText(_tokenizer(), 3)
    encoder.save(tmp_path / "small")
    read = SmallText.load(tmp_path / "small")
    assert read.identity() == encoder.identity()
    np.testing.assert_array_equal(_embedded(read), _embedded(encoder))
    shorter = saved(str(tmp_path / "small"), 6)
    assert shorter.most_tokens == 6 and shorter.tokens(TEXTS).shape[1] == 6
    assert saved(str(tmp_path / "small"), 99).most_tokens == 24


def test_it_learns_which_of_two_things_is_on_the_left():
    """Both captions of a pair have the same words, so that a bag of words would be right half of the time."""
    encoder = SmallText(_tokenizer(), 0)
    tokens = encoder.tokens(TEXTS)
    first = np.array([one < other for one, other in PAIRS for _ in range(2)])
    on_the_left = first ^ np.array([place == 1 for _ in PAIRS for place in range(2)])
    keras.utils.set_random_seed(0)
    held_out = np.arange(len(TEXTS)) % 6 == 0
    model = keras.Sequential([encoder, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    model.fit(tokens[~held_out], on_the_left[~held_out], batch_size=24, epochs=30, verbose=0)
    assert model.evaluate(tokens[held_out], on_the_left[held_out], verbose=0)[1] > 0.7


def test_another_checkpoint_or_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match="no small text encoder.*model_type 'bert'"):
        SmallText.load(write_bert(tmp_path / "bert"))
    folder = tmp_path / "small"
    SmallText(_tokenizer(), 0).save(folder)
    words = (folder / "vocabulary.txt").read_text(encoding="utf-8")
    (folder / "vocabulary.txt").write_text(f"{words}more\n", encoding="utf-8")
    with pytest.raises(InputError, match="vocabulary.*another model"):
        SmallText.load(folder)
    (folder / "vocabulary.txt").unlink()
    with pytest.raises(InputError, match="has no vocabulary.*vocabulary.txt"):
        SmallText.load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 5}), encoding="utf-8")
    with pytest.raises(InputError, match="num_attention_heads=5"):
        SmallText.load(folder)
