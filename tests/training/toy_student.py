"""A student of a few dozen parameters, pairs for it, and what plain NumPy makes of both."""

import keras
import numpy as np
import tensorflow as tf

from tfcap.models.student import Student

IMAGE, TEXT, SPACE, TEMPERATURE = 3, 4, 5, 0.3


def student(dtype="float64", encoder=None):
    keras.utils.set_random_seed(0)
    width = encoder.feature_size if encoder else IMAGE
    return Student(width, TEXT, SPACE, TEMPERATURE, encoder, dtype=dtype)


def point(model, seed=0):
    """Parameters of the model, the biases not zero."""
    rng = np.random.default_rng(seed)
    return [tf.constant(value + rng.normal(scale=0.3, size=value.shape)) for value in model.trainable_variables]


def near(parameters, seed=1, scale=0.3):
    """Another point, not far."""
    rng = np.random.default_rng(seed)
    moves = [rng.normal(scale=scale, size=value.shape).astype(value.dtype.name) for value in parameters]
    return [value + move for value, move in zip(parameters, moves, strict=True)]


def pairs(count, seed=0, dtype="float64"):
    """Images [count, IMAGE], and texts [count, TEXT] that have to do with them."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, IMAGE))
    texts = images @ rng.normal(size=(IMAGE, TEXT)) + rng.normal(scale=0.5, size=(count, TEXT))
    return images.astype(dtype), texts.astype(dtype)


def logits(parameters, images, texts):
    """The scaled cosines [B, B] of a student of features."""
    log_scale, *layers = (np.asarray(value) for value in parameters)
    of_images, of_texts = images @ layers[0] + layers[1], texts @ layers[2] + layers[3]
    of_images, of_texts = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (of_images, of_texts))
    return min(np.exp(log_scale), 100.0) * of_images @ of_texts.T


def differences(function, array, step=1e-5):
    """The gradient of a function of one array, by central differences."""
    found = np.zeros(array.shape)
    for place in np.ndindex(*array.shape):
        move = np.zeros(array.shape)
        move[place] = step
        found[place] = (function(array + move) - function(array - move)) / (2 * step)
    return found
