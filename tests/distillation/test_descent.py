"""The descent of pairs: its steps, its checkpoints, and how it ends where a number is lost."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tests.distillation.toy import ToyProblem, nothing_shown
from tfcap.distillation.descent import STATE, Change, Descent, Objective
from tfcap.distillation.experts import Experts
from tfcap.distillation.gradients import MatchedGradients
from tfcap.distillation.method import real_pairs
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.trajectory import MatchedTrajectories
from tfcap.errors import InputError, TrainingDiverged

RNG = np.random.default_rng(0)
START = Pairs(RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=(3, 4)).astype(np.float32))
CURVES = [RNG.uniform(0.5, 2, size=array.shape).astype(np.float32) for array in (START.images, START.texts)]
RATES = {"image_rate": 0.3, "text_rate": 0.1, "rate_rate": 0.02, "student_rate": 0.5}


class Bowl(Objective):
    """Half the sum of c (x - aim)^2 over all pairs, and of the logarithms of the rates."""

    def __init__(self, has_rates=True, aim=0.0, broken=()):
        self.has_rates, self.aim, self.broken, self.calls = has_rates, aim, dict(broken), 0

    def change(self, images, texts, rates, rng):
        self.calls += 1
        ways = [images - self.aim, texts - self.aim, tf.math.log(rates)]
        curves = [*CURVES, np.ones(2, np.float32)] if images.shape == START.images.shape else [1.0, 1.0, 1.0]
        loss = tf.add_n([tf.reduce_sum(curve * way**2) / 2 for curve, way in zip(curves, ways, strict=True)])
        gradients = [curve * way for curve, way in zip(curves, ways, strict=True)]
        if self.calls in self.broken:
            lost = self.broken[self.calls]
            if lost == "loss":
                loss *= np.nan
            else:
                gradients = [gradient * np.nan for gradient in gradients]
        return Change(loss, gradients[0], gradients[1], gradients[2] if self.has_rates else None, {"part": 7.0})


class Killed(Objective):
    """Another objective in a process that is killed at one of its steps."""

    def __init__(self, inner, at):
        self.inner, self.at, self.calls, self.has_rates = inner, at, 0, inner.has_rates

    def change(self, *given):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.inner.change(*given)

    def state(self):
        return self.inner.state()

    def restore(self, state):
        self.inner.restore(state)


def _descent(start=START, of_pixels=False, **asked):
    return Descent(start, ToyProblem(**{**RATES, **asked}).asked, of_pixels, False)


@pytest.mark.parametrize("has_rates", [True, False])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_steps_are_those_of_keras_optimizers_each_at_its_own_rate_and_adam_s_decay(name, has_rates, tmp_path):
    objective = Bowl(has_rates)
    found = _descent(optimizer=name, steps=8)
    found.run(objective, 6, 0, tmp_path, nothing_shown)
    variables = [keras.Variable(array) for array in (START.images, START.texts, np.full(2, np.log(0.5), np.float32))]
    for variable, curve, rate in zip(variables, [*CURVES, 1.0], (0.3, 0.1, 0.02), strict=True):
        optimizer = keras.optimizers.Adam(rate) if name == "adam" else keras.optimizers.SGD(rate, momentum=0.5)
        for step in range(6):
            optimizer.learning_rate = rate * (0.5 * (1 + np.cos(np.pi * step / 8)) if name == "adam" else 1)
            optimizer.apply([curve * variable.value], [variable])
    images, texts, log_rates = (variable.numpy() for variable in variables)
    np.testing.assert_allclose(found.images, images, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.texts, texts, rtol=1e-5, atol=1e-6)
    if has_rates:
        np.testing.assert_allclose(found.pairs(True).rates, np.exp(log_rates), rtol=1e-5)
    else:
        np.testing.assert_allclose(found.log_rates, np.log(0.5))
        assert found.pairs(False).rates is None


def test_a_step_of_gradient_descent_written_out(tmp_path):
    found = _descent(optimizer="sgd").run(Bowl(), 2, 0, tmp_path, nothing_shown)
    first = -0.3 * CURVES[0] * START.images
    second = 0.5 * first - 0.3 * CURVES[0] * (START.images + first)
    np.testing.assert_allclose(found.images, START.images + first + second, rtol=1e-5, atol=1e-6)


def test_what_is_shown_are_the_loss_the_parts_and_the_rates(tmp_path):
    seen = []
    descent = _descent(show_every=3)
    descent.run(Bowl(), 7, 0, tmp_path, lambda step, pairs, numbers: seen.append((step, pairs, numbers)))
    assert [step for step, _, _ in seen] == [3, 6, 7]
    assert set(seen[0][2]) == {"loss", "part", "rate_image", "rate_text"}
    assert seen[-1][2]["loss"] == pytest.approx(descent.history[-1])
    assert seen[-1][2]["rate_text"] == pytest.approx(seen[-1][1].rates[1])
    assert len(descent.history) == 7 and (np.diff(descent.history) < 0).all()


@pytest.mark.parametrize("of_pixels", [True, False])
def test_pixels_stay_in_their_range_and_nothing_else_does(of_pixels, tmp_path):
    images = RNG.uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    aim = np.where(np.arange(3) == 0, 400.0, -100.0).astype(np.float32)
    descent = _descent(Pairs(images, np.zeros([2, 3], np.float32)), of_pixels, image_rate=90.0, text_rate=90.0)
    found = descent.run(Bowl(False, aim), 5, 0, tmp_path, nothing_shown)
    if of_pixels:
        assert (found.images[..., 0] == 255).all() and (found.images[..., 1:] == 0).all()
    else:
        assert found.images.max() > 256 and found.images.min() < -1
    assert found.texts.min() < -1


@pytest.mark.parametrize("lost", ["loss", "gradient"])
def test_a_number_that_is_lost_ends_the_descent_and_names_the_step(lost, tmp_path):
    descent = _descent(checkpoint_every=1)
    with pytest.raises(TrainingDiverged, match="step 3"):
        descent.run(Bowl(broken={3: lost}), 9, 0, tmp_path, nothing_shown)
    kept = load_file(tmp_path / STATE)
    assert int(kept["step"]) == 2 and np.isfinite(kept["images"]).all()


def _objective(name, problem, experts):
    return MatchedTrajectories(experts, False) if name == "trajectory" else MatchedGradients(problem, False)


@pytest.mark.parametrize("name", ["trajectory", "gradient_matching"])
def test_a_descent_that_was_killed_ends_bit_for_bit_where_it_would_have(name, tmp_path):
    problem = ToyProblem(method=name, restart_every=4, inner_batch=2, **RATES)
    experts = Experts(tmp_path / "experts", problem, 0)
    if name == "trajectory":
        experts.train()
    rows = np.arange(6)
    start = real_pairs(problem, rows, problem.train.start[rows])

    def run(folder, at=None, seed=1):
        descent, objective = Descent(start, problem.asked, False, False), _objective(name, problem, experts)
        folder.mkdir(exist_ok=True)
        if at is None:
            return descent, descent.run(objective, 7, seed, folder, nothing_shown)
        with pytest.raises(KeyboardInterrupt):
            descent.run(Killed(objective, at), 7, seed, folder, nothing_shown)
        return None

    whole, wanted = run(tmp_path / "whole")
    run(tmp_path / "killed", at=6)  # after the checkpoint of step 4
    assert int(load_file(tmp_path / "killed" / STATE)["step"]) == 4
    resumed, found = run(tmp_path / "killed")
    np.testing.assert_array_equal(found.images, wanted.images)
    np.testing.assert_array_equal(found.texts, wanted.texts)
    assert found.rates == wanted.rates
    np.testing.assert_array_equal(resumed.history, whole.history)
    assert len(whole.history) == 7
    assert np.abs(wanted.images - start.images).max() > 0.1
    other = run(tmp_path / "other", seed=2)[1]
    assert np.abs(other.images - wanted.images).max() > 1e-4  # what is drawn is of the seed


def _cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def _without_step(path):
    arrays = load_file(path)
    del arrays["step"]
    save_file(arrays, path)


def _of_more_pairs(path):
    arrays = load_file(path)
    save_file({**arrays, "images": np.zeros([5, 2], np.float32)}, path)


@pytest.mark.parametrize("damage", [_cut, _without_step, _of_more_pairs])
def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(damage, tmp_path):
    _descent().run(Bowl(), 2, 0, tmp_path, nothing_shown)
    damage(tmp_path / STATE)
    with pytest.raises(InputError, match="damaged") as error:
        _descent().run(Bowl(), 4, 0, tmp_path, nothing_shown)
    assert "Delete it" in str(error.value)
