"""Both scores against plain computations, one example at a time."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.scoring.toy import batches
from tests.training import numpy_captioner as by_hand
from tests.training.toy import captioner
from tfcap.data.text import PAD
from tfcap.registry import SCORES
from tfcap.scoring.signal import Pass
from tfcap.settings import SelectionSettings, TrainingSettings
from tfcap.training.step import example_gradient_norms, values_of
from tfcap.training.strategy import connect

_COUNT = 7


@functools.cache
def _model(encoder_trains):
    return captioner(encoder_trains=encoder_trains, dropout=0.5)  # scores are made in evaluation mode


@functools.cache
def _compiled(encoder_trains, xla, reduction):
    return example_gradient_norms(_model(encoder_trains), xla, reduction)


def _examples(images):
    """Yields each example alone, without the padding captions."""
    for batch in batches(_COUNT, 1, images=images):
        kept = batch["weights"][0] > 0
        yield {
            **{name: array for name, array in batch.items() if name in ("images", "features")},
            "tokens": batch["tokens"][:, kept],
            "weights": batch["weights"][:, kept],
        }


def _eager_loss(model, example, reduction="mean"):
    losses, mask = model({name: tf.constant(array) for name, array in example.items()}, training=False)
    tokens = tf.reduce_sum(mask[0], -1) if reduction == "mean" else 1.0
    return tf.reduce_mean(tf.reduce_sum(losses[0], -1) / tokens)


@functools.cache
def _references(encoder_trains, reduction="mean"):
    """Returns gradient norms and losses, both from an eager tape over a batch of one."""
    model, norms, losses = _model(encoder_trains), [], []
    for example in _examples(images=encoder_trains):
        with tf.GradientTape() as tape:
            loss = _eager_loss(model, example, reduction)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        flat = np.concatenate([tf.convert_to_tensor(gradient).numpy().ravel() for gradient in gradients])
        norms.append(np.linalg.norm(flat.astype(np.float64)))
        losses.append(float(loss))
    return np.array(norms), np.array(losses)


def _run(encoder_trains, xla, batch, reduction="mean"):
    model = _model(encoder_trains)
    inputs = {name: tf.constant(array) for name, array in batch.items() if name != "position"}
    compute = _compiled(encoder_trains, xla, reduction)
    found = compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs)
    return [value.numpy() for value in found]


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize(("encoder_trains", "reduction"), [(False, "mean"), (True, "mean"), (False, "sum")])
def test_gradient_norms_and_losses_equal_those_of_an_eager_loop(encoder_trains, reduction, xla):
    (batch,) = batches(_COUNT, _COUNT, images=encoder_trains)
    assert {int(weights.sum()) for weights in batch["weights"]} == {1, 2, 3}
    norms, losses = _run(encoder_trains, xla, batch, reduction)
    expected_norms, expected_losses = _references(encoder_trains, reduction)
    assert expected_norms.min() > 0.01 and np.unique(expected_norms.round(4)).size == _COUNT
    np.testing.assert_allclose(norms, expected_norms, rtol=1e-4)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def test_gradient_norms_equal_central_differences():
    """Independent of automatic differentiation and of TensorFlow."""
    parameters = by_hand.parameters_of(_model(False))

    def loss(p, example):
        captions = example["tokens"][0]
        features = np.repeat(example["features"].astype(np.float64), len(captions), axis=0)
        losses, mask = by_hand.token_losses(p, features, captions)
        return (losses.sum(-1) / mask.sum(-1)).mean()

    expected = [
        by_hand.norm(by_hand.gradient(functools.partial(loss, example=example), parameters))
        for example in _examples(images=False)
    ]
    np.testing.assert_allclose(_references(False)[0], expected, rtol=1e-4)


def test_padding_captions_do_not_matter_whatever_their_words():
    (batch,) = batches(_COUNT, _COUNT)
    padding = batch["weights"] == 0
    assert padding.any()
    before = _run(False, False, batch)
    batch["tokens"][padding] = [1, 5, 4, 6, 2, PAD]
    for ours, theirs in zip(_run(False, False, batch), before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_row_of_padding_scores_zero_and_not_nan():
    *_, last = batches(_COUNT, 4)
    assert (last["weights"][-1] == 0).all()
    for found in _run(False, False, last):
        assert found[-1] == 0.0 and np.isfinite(found).all()


@pytest.mark.parametrize("name", ["gradient_norm", "loss"])
@pytest.mark.parametrize(("backwards", "reduction"), [(False, "mean"), (True, "mean"), (False, "sum")])
def test_the_pass_writes_one_number_a_record_in_record_order(tmp_path, name, backwards, reduction):
    """Each equal to that of a batch of one."""
    replicas = connect(TrainingSettings(strategy="single"))
    signal = SCORES[name](SelectionSettings(token_reduction=reduction))
    passed = batches(_COUNT, 4, backwards=backwards)
    seconds = Pass(signal, _model(False), passed, replicas, False).write(tmp_path, name, False)
    found = np.load(tmp_path / f"{name}.npy")
    assert found.dtype == np.float32 and found.shape == (_COUNT,) and seconds > 0
    expected = _references(False, reduction)[0 if name == "gradient_norm" else 1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seen"), [("gradient_norm", "features"), ("gradient_norm", "images"), ("loss", "features")]
)
def test_two_replicas_score_as_one(two_replicas, name, seen):
    scores = two_replicas["scores"]
    assert len(scores[f"2 {seen}"][name]) == 10
    np.testing.assert_allclose(scores[f"2 {seen}"][name], scores[f"1 {seen}"][name], rtol=1e-5)


def test_a_killed_pass_goes_on_and_ends_as_the_uninterrupted_one(tmp_path, monkeypatch):
    from tfcap.data import resumable

    replicas = connect(TrainingSettings(strategy="single"))
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    signal, done = SCORES["loss"](SelectionSettings()), []

    class Stopped(Exception):
        pass

    def counting(stop_after):
        found = batches(_COUNT, 2)
        start = found.start

        def stopped(first_block):
            for index, batch in enumerate(start(first_block), start=first_block):
                if index == stop_after:
                    raise Stopped
                done.append(index)
                yield batch

        found.start = stopped
        return found

    def run(passed, folder):
        Pass(signal, _model(False), passed, replicas, False).write(tmp_path / folder, "loss", False)

    run(batches(_COUNT, 2), "whole")
    with pytest.raises(Stopped):
        run(counting(2), "halves")
    assert not (tmp_path / "halves" / "loss.npy").exists()
    run(counting(None), "halves")
    assert done == [0, 1, 2, 3]
    np.testing.assert_array_equal(np.load(tmp_path / "halves" / "loss.npy"), np.load(tmp_path / "whole" / "loss.npy"))
    assert [path.name for path in (tmp_path / "halves").iterdir()] == ["loss.npy"]
