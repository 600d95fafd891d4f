"""Captions of a split are the same whatever the batches."""

import keras
import numpy as np
import pytest

from tfcap.data.text import WordTokenizer
from tfcap.models.generation import Decoding
from tfcap.models.lstm import LSTMCaptioner
from tfcap.settings import TrainingSettings
from tfcap.training.decoding import Decoder
from tfcap.training.strategy import connect

N, D = 11, 4
TOKENIZER = WordTokenizer([*("<pad>", "<begin>", "<end>", "<unk>"), *"abcdefgh"], 10)


class Features:
    """In the place of `Inputs`: the features of each position."""

    def __init__(self) -> None:
        self.features = np.random.default_rng(0).normal(0, 3, [N, D]).astype(np.float32)

    def stream(self, blocks):
        for block in blocks:
            yield "features", self.features[block]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = LSTMCaptioner(
        keras.Sequential([keras.layers.Identity()]), D, len(TOKENIZER), units=6, embedding_size=5, dropout=0.0
    )
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(0, 1, variable.shape))
    return made


def _captions(model, batch_size, order=None, **options):
    decoder = Decoder(model, TOKENIZER, connect(TrainingSettings(strategy="single")), Decoding(**options), xla=False)
    positions = np.arange(N) if order is None else order
    texts, scores = decoder.captions(Features(), positions, batch_size, progress=False)
    assert len(texts) == len(scores) == len(positions)
    return texts, scores


@pytest.mark.parametrize(
    "options",
    [{}, {"beams": 3}, {"beams": 3, "no_repeat_ngram": 2}, {"temperature": 1.0}, {"temperature": 1.0, "top_p": 0.8}],
    ids=str,
)
def test_batches_and_order_change_no_caption(model, options):
    texts, scores = _captions(model, 11, **options)
    assert len(set(texts)) > 3
    found, its_scores = _captions(model, 4, **options)
    assert found == texts
    np.testing.assert_allclose(its_scores, scores, atol=1e-5)
    order = np.random.default_rng(2).permutation(N)
    found, _ = _captions(model, 5, order, **options)
    assert found == [texts[position] for position in order]


def test_another_seed_draws_other_captions(model):
    assert _captions(model, 4, temperature=1.0)[0] != _captions(model, 4, temperature=1.0, seed=1)[0]
    assert _captions(model, 4)[0] == _captions(model, 4, seed=1)[0]
