"""Learnability: what a learner has still to learn of an example, and a reference captioner shows can be learned."""

from __future__ import annotations

from tfcap.errors import InputError
from tfcap.scoring.losses import TeacherLoss
from tfcap.settings import Settings


class Learnability(TeacherLoss):
    """The learner's loss less that of a reference captioner, both as `loss` is; high where the reference is ahead.

    The learner is a proxy early in its training, the reference the captioner of --teacher. An example with wrong
    captions is hard for both and scores low, where by its loss alone it would score high. The reference must not have
    learned the example by heart: train it on other images, or on a part of these.
    Source: reducible holdout loss, Mindermann et al. 2022, https://arxiv.org/abs/2206.07137, equation 3; with an
    unfinished learner's present loss as in Evans et al. 2024, https://arxiv.org/abs/2406.17711.
    Cost: O(N) forward passes of each of the two.
    """

    against_teacher = True

    def default_epochs(self, epochs: int) -> int:
        return max(1, round(epochs / 5))

    def check_settings(self, settings: Settings) -> None:
        if not self.settings.teacher:
            raise InputError(
                "The score learnability needs the captioner that the learner is compared with",
                expected="--teacher=RUN, the folder of a finished run",
            )
        super().check_settings(settings)
