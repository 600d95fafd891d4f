"""What every text encoder promises. A new one is a new row of ROWS; every test below then runs over it.

That its weights are those of a file, and what is said of files that do not fit, is tested in tests/models.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.models import toy_bert, toy_clip
from tfcap import registry
from tfcap.data.text import WordTokenizer
from tfcap.models.small_text import SmallText
from tfcap.models.text_encoders import TextEncoder

TEXTS = ["a red dog runs", "a cat", "the red ball isn't on the grass, is it?"]
STRANGE = ["", " ", "日本語の猫", "🎉 👩‍👩‍👧", "naïve été", "\x00 \u200b", "word " * 500, "x" * 5000]  # noqa: RUF001
MOST = 32


def _sentence_bert(folder: Path) -> None:
    toy_bert.pooled(toy_bert.write_bert(folder), *toy_bert.MEAN)


def _small(folder: Path) -> None:
    SmallText(WordTokenizer.fit([*TEXTS, "and dog cat"], 1, MOST), seed=0).save(folder)


# What writes the folder that --text_weights names; a variant of a kind has a dash after the kind.
ROWS: dict[str, Callable[[Path], object]] = {
    "bert": toy_bert.write_bert,
    "bert-mean": _sentence_bert,
    "clip_text": toy_clip.write_clip,
    "small": _small,
}


@pytest.fixture(scope="module", params=ROWS)
def make(request, tmp_path_factory) -> Callable[[], TextEncoder]:
    folder = tmp_path_factory.mktemp("weights") / "folder"
    ROWS[request.param](folder)
    return lambda: registry.TEXT_ENCODERS[request.param.partition("-")[0]](str(folder), MOST)


@pytest.fixture(scope="module")
def encoder(make) -> TextEncoder:
    return make()


def _embed(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    return np.asarray(encoder(encoder.tokens(texts)))


def test_every_registered_text_encoder_has_a_row():
    assert {name.partition("-")[0] for name in ROWS} == set(registry.TEXT_ENCODERS)


def test_texts_that_differ_have_vectors_as_wide_as_it_says_that_differ(encoder):
    tokens = encoder.tokens(TEXTS)
    found = _embed(encoder, TEXTS)
    assert tokens.dtype == np.int32 and tokens.ndim == 2 and found.dtype == np.float32
    assert found.shape == (len(TEXTS), encoder.width) and np.isfinite(found).all()
    assert min(np.abs(found[one] - found[other]).max() for one, other in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_the_order_of_words_counts(encoder):
    found = _embed(encoder, ["a red dog and the cat", "a red cat and the dog"])
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_an_embedding_is_of_its_text_alone_however_long_its_neighbours_are(encoder):
    """Beside a long text a short one has more padding."""
    alone, beside = (encoder.tokens(texts) for texts in (["a red dog"], ["a red dog", "the " * 500]))
    assert beside.shape[1] > alone.shape[1]
    np.testing.assert_allclose(_embed(encoder, ["a red dog", "the " * 500])[:1], np.asarray(encoder(alone)), atol=1e-5)


def test_lengths_are_few_and_a_long_text_loses_its_last_words(encoder):
    lengths = {encoder.tokens(["the " * count]).shape[1] for count in range(80)}
    assert len(lengths) <= 2 and max(lengths) == encoder.most_tokens == MOST
    long, longer, other = _embed(encoder, ["the " * 100 + "cat", "the " * 500 + "dog", "a " + "the " * 100])
    np.testing.assert_allclose(long, longer, atol=1e-6)
    assert np.abs(long - other).max() > 1e-4


def test_every_text_has_a_finite_vector_the_same_each_time(encoder):
    found = _embed(encoder, STRANGE)
    assert np.isfinite(found).all() and encoder.tokens([]).shape[0] == 0
    np.testing.assert_array_equal(_embed(encoder, STRANGE), found)
    np.testing.assert_allclose(_embed(encoder, STRANGE[::-1])[::-1], found, atol=1e-5)


def test_one_made_again_is_the_same(make, encoder):
    again = make()
    assert again.identity() == encoder.identity()
    np.testing.assert_allclose(_embed(again, TEXTS), _embed(encoder, TEXTS), atol=1e-6)


def test_it_computes_in_float32_whatever_the_policy_is(make, encoder):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        under_another = make()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    np.testing.assert_allclose(_embed(under_another, TEXTS), _embed(encoder, TEXTS), atol=1e-6)


def test_its_identity_is_of_every_weight(encoder):
    before = encoder.identity()
    for variable in encoder.weights:
        value = variable.numpy()
        changed = value.copy()
        changed.flat[-1] += 1
        variable.assign(changed)
        assert encoder.identity() != before, variable.path
        variable.assign(value)
    assert encoder.identity() == before
