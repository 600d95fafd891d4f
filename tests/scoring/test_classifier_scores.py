"""Scores of a classifier against NumPy, and its gradient norms against a tape over one picture at a time."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import SIDE, WORDS, classes, classifier
from tfcap.models.batch_norm import moving_statistics
from tfcap.models.classifier import Classifier
from tfcap.models.resnet_cifar import ResNet18Cifar
from tfcap.registry import SCORES
from tfcap.scoring.tracking import tracking_of
from tfcap.settings import SelectionSettings
from tfcap.training.knowledge import TaughtCaptioner
from tfcap.training.step import tracked_loss_and_gradients, values_of

COUNT = 5


@functools.cache
def _model():
    return classifier(norm=True, dropout=0.5)  # scores are made in evaluation mode


def _inputs(side=SIDE):
    """Pictures with one caption each, as scoring is given them; a class of a picture is its one word."""
    found = classes(COUNT)
    images = np.random.default_rng(0).integers(0, 256, [COUNT, side, side, 3]).astype(np.uint8)
    return {
        "images": tf.constant(images),
        "tokens": tf.constant(found["tokens"][:, None]),
        "weights": tf.ones([COUNT, 1]),
    }


def _scores(name, model, inputs, xla=False):
    compute = SCORES[name](SelectionSettings()).compute(model, xla)
    return compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs).numpy()


def _seen():
    """Returns features [N, D], probabilities [N, K] and right classes [N], in float64."""
    model, inputs = _model(), _inputs()
    features = model.encode(inputs["images"]).numpy().astype(np.float64)
    kernel, bias = (variable.numpy() for variable in model.class_logits.trainable_variables)
    odds = np.exp(features @ kernel + bias)
    return features, odds / odds.sum(-1, keepdims=True), inputs["tokens"].numpy()[:, 0, 0]


DEFINITIONS = {
    "loss": lambda f, p, right: -np.log(p[right]),
    "el2n": lambda f, p, right: np.linalg.norm(p - np.eye(WORDS)[right]),
    "entropy": lambda f, p, right: -(p * np.log(p)).sum(),
    "margin": lambda f, p, right: 1 - np.subtract(*np.sort(p)[[-1, -2]]),
    "gradient_norm_last_layer": lambda f, p, right: np.linalg.norm(np.outer([*f, 1], p - np.eye(WORDS)[right])),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_score_is_what_its_definition_says_of_the_one_class(name):
    expected = [DEFINITIONS[name](*one) for one in zip(*_seen(), strict=True)]
    assert np.unique(np.round(expected, 4)).size == COUNT
    np.testing.assert_allclose(_scores(name, _model(), _inputs()), expected, rtol=1e-4)


@functools.cache
def _resnet():
    """The narrowest ResNet-18, with statistics that no batch of these pictures has."""
    keras.utils.set_random_seed(0)
    model, rng = Classifier(ResNet18Cifar("none", 8, width=1), classes=WORDS), np.random.default_rng(0)
    for variable in moving_statistics(model):
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    for variable in model.trainable_variables:
        if variable.path.endswith(("gamma", "beta")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def test_gradient_norms_with_batch_normalisation_are_those_of_a_batch_of_one():
    model, inputs = _resnet(), _inputs(8)
    rows, expected = [0, 2, 4], []
    for row in rows:
        alone = {name: value[row : row + 1] for name, value in inputs.items()}
        with tf.GradientTape() as tape:
            losses, _ = model(alone, training=False)
        gradients = tape.gradient(losses, [variable.value for variable in model.trainable_variables])
        expected.append(np.sqrt(sum((tf.convert_to_tensor(gradient).numpy() ** 2).sum() for gradient in gradients)))
    assert np.ptp(expected) > 0.1 * np.mean(expected) > 0.01
    np.testing.assert_allclose(_scores("gradient_norm", model, inputs)[rows], expected, rtol=1e-4)


def _tracked(names, objective, model):
    """Returns what a training step of the objective tracks of each of its pictures, [N, S], and its losses [N]."""
    inputs = {name: tf.constant(array) for name, array in classes(COUNT).items()}
    compute = tracked_loss_and_gradients(objective, False, tracking_of(names, model, SelectionSettings()))
    *_, found = compute(values_of(objective.trainable_variables), values_of(objective.non_trainable_variables), inputs)
    return found.numpy(), inputs


def test_what_training_tracks_is_of_the_batch_that_it_saw():
    model = classifier(norm=True)
    found, inputs = _tracked(("loss", "forgetting", "aum"), model, model)
    right = inputs["tokens"].numpy()[:, 0]
    logits = model.class_logits(model.encode(inputs["images"], training=True)).numpy()
    rows = np.arange(COUNT)
    margins = logits[rows, right] - np.where(np.eye(WORDS)[right] > 0, -np.inf, logits).max(-1)
    losses = np.log(np.exp(logits).sum(-1)) - logits[rows, right]
    np.testing.assert_allclose(found, np.stack([losses, margins > 0, margins], -1), rtol=1e-4)


def test_with_a_teacher_norms_and_losses_are_of_what_is_trained_on_and_margins_of_the_student():
    model = classifier()
    both = TaughtCaptioner(model, classifier(seed=1), alpha=0.3, temperature=4.0)
    found, inputs = _tracked(("loss", "gradient_norm", "aum"), both, model)
    losses, norms = [], []
    for row in range(COUNT):
        with tf.GradientTape() as tape:
            loss, _ = both({name: value[row : row + 1] for name, value in inputs.items()}, training=True)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        losses.append(float(loss[0, 0]))
        norms.append(np.sqrt(sum((tf.convert_to_tensor(gradient).numpy() ** 2).sum() for gradient in gradients)))
    np.testing.assert_allclose(found[:, :2], np.stack([losses, norms], -1), rtol=1e-4)
    np.testing.assert_allclose(found[:, 2:], _tracked(("aum",), model, model)[0], rtol=1e-4)
    assert np.abs(found[:, :1] - _tracked(("loss",), model, model)[0]).min() > 0.01
