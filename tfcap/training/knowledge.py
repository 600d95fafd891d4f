"""Knowledge distillation: a captioner or a classifier learns from its data and from what a teacher makes of them."""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.models.captioner import Captioner

Tensor = Any


def knowledge_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Returns T^2 KL(p || q) float32 [...], p and q being the softened predictions of teacher and student.

    The factor T^2 keeps the size of the gradient, which softening divides by T^2 (Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531, section 2.1). No gradient goes to the teacher.

    Args:
      teacher, student: logits, or log-probabilities, which are logits too: float32 [..., V].
      temperature: T > 0, of both softmaxes.
    """
    of_teacher = ops.log_softmax(ops.stop_gradient(teacher) / temperature)
    of_student = ops.log_softmax(student / temperature)
    return temperature**2 * ops.sum(ops.exp(of_teacher) * (of_teacher - of_student), axis=-1)


class TaughtCaptioner(keras.Model):
    """A captioner whose loss of each word is alpha CE + (1 - alpha) T^2 KL; only the captioner's weights train.

    The teacher sees the same pictures, varied as they are for the student, and the same words before each, and is in
    evaluation mode: no dropout, and batch normalisation by its moving statistics. Source: Hinton et al. 2015; study S5
    has alpha = 0.1 and T = 4.

    Args:
      captioner: that learns.
      teacher: of the same vocabulary, made for the same features or pictures.
      alpha: in [0, 1].
      temperature: T > 0.
    """

    def __init__(self, captioner: Captioner, teacher: Captioner, *, alpha: float, temperature: float) -> None:
        super().__init__(name="taught_captioner")
        teacher.trainable = False
        self.captioner, self.teacher = captioner, teacher
        self.alpha, self.temperature = alpha, temperature
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False, predictions: bool = False) -> tuple[Tensor, ...]:
        """Returns what the captioner's own `call` does, with these losses."""
        log_probs, words, mask = self.captioner.next_words(inputs, training)
        of_teacher, _, _ = self.teacher.next_words(inputs, training=False)
        losses = self.alpha * self.captioner.cross_entropy(log_probs, words, training)
        losses += (1 - self.alpha) * knowledge_loss(of_teacher, log_probs, self.temperature)
        return (losses * mask, mask, log_probs, words) if predictions else (losses * mask, mask)
