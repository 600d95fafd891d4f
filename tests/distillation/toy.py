"""A problem of a few features, without any data set: the real class, with splits that are made up."""

import numpy as np

from tests.training.toy import ToyRecords
from tfcap.command_settings import DistillSettings
from tfcap.distillation.problem import Problem, Split
from tfcap.settings import Settings

IMAGE, TEXT, TRAIN = 5, 4, 24
ASKED = {
    "trains": "projections",
    "projection_size": 3,
    "batch_size": 8,
    "experts": 2,
    "expert_epochs": 3,
    "latest_start": 1,
    "inner_steps": 3,
    "pairs": 6,
    "checkpoint_every": 2,
    "show_every": 3,
}


class ToyProblem(Problem):
    """Features [N, IMAGE] and captions [C, TEXT] that have to do with them; image n has 1 + n % 3 captions."""

    def __init__(self, *, train=TRAIN, others=9, noise=0.5, seed=0, **asked):
        self.asked = DistillSettings(**{**ASKED, **asked})
        self.settings = Settings().replace(progress=False, xla=False)
        self.image_scaling = self.text_scaling = None
        mixing = np.random.default_rng(seed).normal(size=(IMAGE, TEXT)) / 2
        sizes = {"train": train, "validation": others, "test": others}
        self.splits = {
            name: made_up(count, mixing, noise, [seed, place]) for place, (name, count) in enumerate(sizes.items())
        }

    @property
    def identity(self):
        return "toy"


def made_up(count, mixing, noise, seed):
    rng, records = np.random.default_rng(seed), ToyRecords(count)
    captions = [len(texts) for texts in records.captions]
    images = rng.normal(size=(count, len(mixing))).astype(np.float32)
    texts = np.repeat(images @ mixing, captions, axis=0)
    texts = texts + rng.normal(scale=noise, size=texts.shape)
    return Split(records, images, texts.astype(np.float32), np.concatenate([[0], np.cumsum(captions)]))


def no_experts():
    raise AssertionError("no experts are needed here")


def nothing_shown(step, pairs, numbers):
    pass
