"""What every score promises. A new score is a new row of ROWS; every test below then runs over it.

That a score is the number it is said to be is tested in tests/scoring.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_clip import write_clip
from tests.scoring.toy import batches
from tests.training.toy import captioner
from tfcap import registry
from tfcap.data.records import Records
from tfcap.data.text import PAD
from tfcap.errors import InputError
from tfcap.models.dual_encoder import pretrained
from tfcap.scoring.signal import EpochsSignal, PairSignal, Signal, TextSignal
from tfcap.settings import SelectionSettings, Settings
from tfcap.training.step import values_of
from tfcap.training.strategy import connect


@dataclasses.dataclass(frozen=True)
class Row:
    """Says the kind of the score and what it is in, for one that a captioner gives per token."""

    kind: type = Signal
    unit: str = "nats per token"


GRADIENT = Row(unit="nats per token per unit of parameter")
ROWS = {
    "gradient_norm": GRADIENT,
    "gradient_norm_last_layer": GRADIENT,
    "loss": Row(),
    "learnability": Row(),  # what one captioner gives; tests/test_learnability.py subtracts
    "el2n": Row(unit="distance of probabilities per token"),
    "entropy": Row(),
    "margin": Row(unit="probability per token"),
    "caption_consensus": Row(TextSignal, "CIDEr-D, in [0, 10]"),
    "clip_score": Row(PairSignal, "cosine of image and caption, in [-1, 1]"),
    "forgetting": Row(EpochsSignal, "forgetting events"),
    "aum": Row(EpochsSignal, "nats per token, minus the margin"),
}
COUNT = 7
by_captioner, by_text, by_pair, by_epochs = (
    pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind is kind])
    for kind in (Signal, TextSignal, PairSignal, EpochsSignal)
)


def _signal(name, **settings):
    return registry.SCORES[name](SelectionSettings(**settings))


def _scores(name, batch, xla=False, **settings):
    model = captioner(dropout=0.5)
    inputs = {key: tf.constant(array) for key, array in batch.items() if key != "position"}
    compute = _signal(name, **settings).compute(model, xla)
    return compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs).numpy()


def test_every_registered_score_has_a_row():
    assert set(ROWS) == set(registry.SCORES)


@pytest.mark.parametrize("name", ROWS)
def test_it_is_a_score_that_says_its_unit(name):
    row, signal = ROWS[name], _signal(name)
    assert isinstance(signal, row.kind) and signal.unit == row.unit
    reduced = row.kind is Signal
    summed = _signal(name, token_reduction="sum")
    assert summed.unit == (row.unit.replace("per token", "per caption") if reduced else row.unit)
    assert summed.choices.get("token_reduction") == ("sum" if reduced else None)


@by_captioner
def test_one_finite_number_an_example_that_no_other_example_changes(name):
    (batch,) = batches(COUNT, COUNT)
    found = _scores(name, batch)
    assert found.shape == (COUNT,) and found.dtype == np.float32 and np.isfinite(found).all()
    assert np.unique(found).size == COUNT
    halves = {key: array[2:5] for key, array in batch.items()}
    np.testing.assert_allclose(_scores(name, halves), found[2:5], rtol=1e-5)


@by_captioner
def test_padding_changes_nothing_and_scores_zero(name):
    *_, batch = batches(COUNT, 4)
    assert (batch["weights"][-1] == 0).all() and (batch["weights"][:-1] == 0).any()
    before = _scores(name, batch)
    batch["tokens"][batch["weights"] == 0] = [1, 5, 4, 6, 2, PAD]
    np.testing.assert_allclose(_scores(name, batch), before, rtol=1e-5)
    assert before[-1] == 0 and (before[:-1] != 0).all()


@by_captioner
def test_xla_changes_nothing(name):
    (batch,) = batches(COUNT, COUNT)
    np.testing.assert_allclose(_scores(name, batch, xla=True), _scores(name, batch), rtol=1e-4)


@by_captioner
def test_of_one_caption_the_sum_is_as_many_times_the_mean_as_it_has_tokens(name):
    (batch,) = batches(COUNT, COUNT)
    batch["weights"] = (np.arange(batch["weights"].shape[1]) == 0) * np.ones_like(batch["weights"])
    tokens = (batch["tokens"][:, 0, 1:] > 0).sum(axis=1)
    total = _scores(name, batch, token_reduction="sum")
    np.testing.assert_allclose(total, tokens * _scores(name, batch), rtol=1e-4)


@by_text
def test_a_score_of_texts_is_a_number_a_caption_and_of_an_image_their_mean(name):
    captions = [
        ["a red ball", "a ball of red", "the ball"],
        ["two dogs", "two small dogs"],
        ["a cat", "the cat sleeps"],
    ]
    each, images = _signal(name).of_captions(captions), _signal(name).of_images(captions)
    assert each.shape == (7,) and np.isfinite(each).all()
    np.testing.assert_allclose(images, [each[:3].mean(), each[3:5].mean(), each[5:].mean()])


@by_pair
def test_a_score_of_pairs_is_a_number_a_caption_by_a_dual_encoder_that_must_be_named(name, scenes, tmp_path):
    records, encoders = Records(scenes, "validation"), pretrained(str(write_clip(tmp_path / "clip")))
    with pytest.raises(InputError, match="--dual_encoder="):
        _signal(name).check_settings(Settings())
    settings = Settings().replace(dual_encoder="named", data_dir=str(tmp_path), progress=False, xla=False)
    signal = _signal(name, dual_encoder="named")
    signal.check_settings(settings)
    assert signal.choices == {"dual_encoder": "named"}
    assert signal.of_pairs(encoders, records, connect(settings.training), settings, tmp_path, "each") > 0
    found = np.load(tmp_path / "each.npy")
    assert found.shape == (sum(len(texts) for texts in records.captions),) and found.dtype == np.float32
    assert np.isfinite(found).all() and np.ptp(found) > 0


@by_epochs
def test_a_score_of_epochs_is_a_number_an_image_and_nan_for_one_that_was_never_shown(name):
    tracked = np.random.default_rng(0).random([6, COUNT]).astype(np.float32)
    tracked[:3, 1] = np.nan
    tracked[:, 4] = np.nan
    found = _signal(name).of_epochs(tracked)
    assert found.shape == (COUNT,) and found.dtype == np.float32
    assert np.isnan(found).tolist() == [column == 4 for column in range(COUNT)]
    np.testing.assert_array_equal(found[:3], _signal(name).of_epochs(tracked[:, :3]))
