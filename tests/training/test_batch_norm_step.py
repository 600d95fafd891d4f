"""Batch normalisation in the functional step: what moves, where it moves to, and that it is kept."""

import types

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from tests.scoring.toy import ToyImages
from tests.training.toy import ToyRecords, captioner, classes, classifier
from tfcap.data.classes import ClassNames
from tfcap.data.pipeline import Captions, SequentialBatches
from tfcap.errors import InputError
from tfcap.models.batch_norm import moving_statistics
from tfcap.proxies import Moment
from tfcap.registry import SCORES
from tfcap.scoring.signal import Pass
from tfcap.settings import SelectionSettings, TrainingSettings
from tfcap.training import checkpoint
from tfcap.training.step import SummedAdamW, train_step
from tfcap.training.strategy import connect


def _statistics(model):
    return [variable.numpy() for variable in moving_statistics(model)]


def _step(model, xla=False, tracking=None):
    optimizer = SummedAdamW(0.1, weight_decay=0.0)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = train_step(model, optimizer, seed=0, clip_norm=0.0, xla=xla, strategy=strategy, tracking=tracking)
    return lambda seed: step(
        {name: tf.constant(array) for name, array in classes(8, seed=seed).items()}, tf.constant(0)
    )


def _by_keras(images):
    """Returns what Keras' own call in training makes of the moving statistics at the start."""
    model = classifier(norm=True)
    model.encode(tf.constant(images), training=True)
    return _statistics(model)


def _predicted(model):
    return model.log_probs(model.encode(tf.constant(classes(4, seed=9)["images"]))).numpy()


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_moves_the_statistics_as_keras_own_call_does(xla):
    model, expected = classifier(norm=True), _by_keras(classes(8)["images"])
    before = _statistics(model)
    assert [len(value) for value in before] == [3, 3]
    _step(model, xla)(0)
    for ours, theirs, old in zip(_statistics(model), expected, before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert np.abs(ours - old).min() > 1e-4


def test_each_step_moves_on_from_the_last():
    """By 1 - 0.9^2 of the way to the batch's own in two steps; the layer in front of it learns nothing in the first."""
    model, expected = classifier(norm=True), _by_keras(classes(8)["images"])
    before = _statistics(model)
    model.class_logits.kernel.assign(tf.zeros_like(model.class_logits.kernel))
    step = _step(model)
    step(0)
    step(0)
    for ours, once, old in zip(_statistics(model), expected, before, strict=True):
        np.testing.assert_allclose(ours - old, 1.9 * (once - old), rtol=1e-4)


def test_frozen_batch_normalisation_does_not_move():
    model = classifier(norm=True)
    before = [variable.numpy() for variable in model.encoder.weights]
    model.encoder.trainable = False
    _step(model)(0)
    assert not moving_statistics(model)
    for variable, value in zip(model.encoder.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


@pytest.mark.slow
def test_two_replicas_move_them_to_the_mean_of_what_each_makes_of_its_half(two_replicas):
    first, second = two_replicas["moving_statistics"]
    images = classes(8)["images"]
    halves = [np.concatenate(_by_keras(half)) for half in (images[:4], images[4:])]
    assert np.abs(halves[0] - halves[1]).max() > 1e-3
    for found in first:
        np.testing.assert_allclose(found, np.mean(halves, axis=0), rtol=1e-5)
    assert len(first) == len(second) == 2 and first[0] == first[1] != second[0] == second[1]


def _saved(model, folder):
    optimizer = SummedAdamW(0.1)
    optimizer.build(model.trainable_variables)
    checkpoint.save(folder, model, optimizer, {"step": 1}, best=True, writes=True)
    return checkpoint.find(folder)


def test_a_restored_model_predicts_what_the_saved_one_did(tmp_path):
    model = classifier(norm=True)
    _step(model)(0)
    path, other = _saved(model, tmp_path), classifier(seed=1, norm=True)
    for variable in moving_statistics(other):
        variable.assign(tf.ones_like(variable))
    checkpoint.restore(path, other)
    np.testing.assert_array_equal(_predicted(other), _predicted(model))
    for ours, theirs in zip(_statistics(other), _statistics(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_without_them_is_refused_by_a_model_that_has_them(tmp_path):
    path = _saved(classifier(), tmp_path)
    with pytest.raises(InputError, match=r"missing model/.*norm/"):
        checkpoint.restore(path, classifier(norm=True))


def test_a_captioner_without_batch_normalisation_is_saved_as_before(tmp_path):
    model = captioner(dropout=0.5, encoder_trains=True)
    stored = load_file(_saved(model, tmp_path) / "state.safetensors")
    parameters = {name for name in stored if not name.startswith("optimizer/")}
    assert parameters == {f"model/{variable.path}" for variable in model.trainable_variables}
    assert len(parameters) == 10 and not moving_statistics(model)


def _passed(count=6, size=4):
    names = ClassNames([f"class {number}" for number in range(7)])
    records = ToyRecords(count, [[f"class {number % 7}"] for number in range(count)])
    return SequentialBatches(ToyImages(classes(count)["images"]), np.arange(count), size, Captions(records, names))


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_scoring_does_not_move_them(tmp_path, name):
    model, replicas = classifier(norm=True), connect(TrainingSettings(strategy="single"))
    before = _statistics(model)
    Pass(SCORES[name](SelectionSettings()), model, _passed(), replicas, False).write(tmp_path, name, False)
    assert (np.load(tmp_path / f"{name}.npy") > 0).all()
    for ours, old in zip(_statistics(model), before, strict=True):
        np.testing.assert_array_equal(ours, old)


def test_a_captioner_before_its_training_has_the_statistics_of_its_beginning():
    """Also where the model that is given its weights has been another moment's."""
    asked = []

    def new_captioner(name, seed):
        asked.append((name, seed))
        return classifier(seed=seed, norm=True)

    prep = types.SimpleNamespace(
        new_captioner=new_captioner, settings=types.SimpleNamespace(selection=SelectionSettings(proxy="classifier"))
    )
    model = classifier(norm=True)
    _step(model)(0)
    Moment("s1-e0", 1, None).set_weights(prep, model)
    assert asked == [("classifier", 1)]
    np.testing.assert_array_equal(_predicted(model), _predicted(classifier(seed=1, norm=True)))


def test_the_statistics_of_a_step_are_those_of_the_step_that_tracks():
    from tfcap.scoring.tracking import tracking_of

    plain, tracked = classifier(norm=True), classifier(norm=True)
    _step(plain)(0)
    tracking = tracking_of(("loss", "forgetting"), tracked, SelectionSettings())
    *_, values = _step(tracked, tracking=tracking)(0)
    assert values.shape == (8, 2)
    for ours, theirs in zip(_statistics(tracked), _statistics(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
