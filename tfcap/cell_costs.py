"""What the cells of a grid will take: from those of it that are finished, and before that by a rule.

The rule counts the work of a cell in gigaflops (GFLOP): for every image in every epoch one pass of the captioner, for
every image once the frozen encoder's features, and for a cell that is the first of those that share scores, the
training of the captioner that scores and one pass over all of train. `_START` seconds are added for what does not
depend on the data. It is a rule of thumb: it knows neither validation nor the machine, and what its tables do not
list, such as a part that was added, counts as one of middle size.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tfcap.distilled_set import read_distilled
from tfcap.effects import CIFAR_RESNET, CLASSIFIER
from tfcap.grid import Cell
from tfcap.settings import Settings

# Of a pass over one image and its caption, forward and backward. The first two are what they took on one core (2.6 and
# 5 ms: the verified runs on `scenes` and Flickr8k), times the rate below; a transformer's are 6 FLOP a weight and word.
_SMALL_RESNET_LSTM, _LSTM = 0.13, 0.25
_WEIGHTS = {"tiny": 1e6, "mini": 8e6, "small": 3e7, "base": 1.24e8, "large": 3.5e8, "1b": 1.24e9, "3b": 3.2e9}
_IN_CHECKPOINT = {"vit_llama": "1b"}  # the others are of the base size
_TOKENS = 32
# Of the forward pass of an encoder over one picture at its usual size; three times as much where it trains.
_ENCODERS = {
    "small_resnet": 0.02,
    "mobilenet_v2": 0.6,
    "resnet50": 8.2,
    "vgg19": 39.0,
    "clip_vit_b32": 8.8,
    "clip_vit": 8.8,
    "vit_b16": 35.0,
    "vit": 35.0,
    "git_vit": 35.0,
    "nf_resnet50": 8.2,
    "nf_resnet_small": 0.04,
}
# Of resnet18_cifar at its published width and size; it grows with the square of both, and a small one computes slower.
_CIFAR_RESNET, _CIFAR_WIDTH, _CIFAR_SIDE, _CIFAR_LEAST = 1.11, 64, 32, 0.02
_UNLISTED_ENCODER, _UNLISTED_IMAGES = 8.8, 10_000
_CORE = 50.0  # GFLOP a second, of one core
_START = 30.0  # seconds
RULE = f"by rule: work at {_CORE:g} GFLOP/s, one core (a GPU may do a thousand times as much), and {_START:g} s"
AS_OTHER_SEEDS = "as the same cell took with other seeds"
# Images of train, where the data set has one published size; by --coco_split too.
_IMAGES = {
    "flickr8k": 6_000,
    "flickr30k": 29_000,
    "food_recipes": 10_800,
    "cifar10": 50_000,
    "official": 118_287,
    "karpathy": 113_287,
    "val2017": 4_000,
}


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a cell is expected to take.

    Attributes:
      seconds: by itself, on its part of the cores.
      why: in words, from what.
    """

    seconds: float
    why: str


def expected(
    cells: Sequence[Cell], scoring: Mapping[str, tuple[str, int]], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Expected]:
    """Returns what each cell that is not finished is expected to take, by its name.

    Args:
      scoring: by the cell's name, what names the scores that it needs ("" for none), and for how many epochs the
        captioner that gives them trains.
      found: what study.json holds of the finished cells.
    """
    by_rule: dict[str, float] = {}
    shared: set[str] = set()
    for cell in cells:
        name, epochs = scoring[cell.name]
        first = bool(name) and name not in shared
        shared.add(name)
        by_rule[cell.name] = rule(cell.settings.resolve(), epochs if first else None)
    twins: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for cell in cells:
        if cell.name in found:
            twins.setdefault(_but_seed(cell), []).append(found[cell.name]["seconds"])
    ratios = [found[name]["seconds"] / seconds for name, seconds in by_rule.items() if name in found]
    several: dict[str, Expected] = {}
    for cell in cells:
        if cell.name in found:
            continue
        if _but_seed(cell) in twins:
            several[cell.name] = Expected(statistics.fmean(twins[_but_seed(cell)]), AS_OTHER_SEEDS)
        elif ratios:
            times = statistics.median(ratios)
            words = f"{RULE}; times {times:.2f}, as the finished took"
            several[cell.name] = Expected(times * by_rule[cell.name], words)
        else:
            several[cell.name] = Expected(by_rule[cell.name], RULE)
    return several


def rule(settings: Settings, scoring_epochs: int | None = None) -> float:
    """Returns the seconds of one cell by the rule.

    Args:
      settings: resolved.
      scoring_epochs: of the captioner that gives the scores, 0 if it is there; None where nothing is scored.
    """
    images, training = _images(settings), settings.training
    kept = 1.0 if training.budget_steps else settings.selection.fraction
    passes = kept * training.epochs + (0 if scoring_epochs is None else scoring_epochs + 1)
    frozen, encoder = settings.model.freeze_encoder, _encoder(settings)
    of_pass = _decoder(settings) + (0 if frozen else 3 * encoder)
    of_teacher = kept * training.epochs * encoder if training.knowledge_distillation else 0.0  # its forward passes
    features = encoder if frozen else 0.0
    return _START + images * (passes * of_pass + features + of_teacher) / _CORE


def _encoder(settings: Settings) -> float:
    model = settings.model
    if model.encoder == CIFAR_RESNET:
        scale = (model.width / _CIFAR_WIDTH * settings.data.image_size / _CIFAR_SIDE) ** 2
        return max(_CIFAR_RESNET * scale, _CIFAR_LEAST)
    return _ENCODERS.get(model.encoder, _UNLISTED_ENCODER)


def _decoder(settings: Settings) -> float:
    model = settings.model
    if model.model == CLASSIFIER:
        return 0.0
    if model.model in ("resnet50_lstm", "vgg19_lstm"):
        return _SMALL_RESNET_LSTM - 3 * _ENCODERS["small_resnet"] if model.encoder == "small_resnet" else _LSTM
    shape = model.shape or _IN_CHECKPOINT.get(model.model, "base")
    if "3B" in model.checkpoint:
        shape = "3b"
    return 6 * _WEIGHTS[shape] * _TOKENS / 1e9


def _images(settings: Settings) -> int:
    data = settings.data
    of_coco = data.coco_split if data.dataset == "coco_captions" else data.dataset
    if data.dataset in ("scenes", "objects"):
        images = int(0.8 * data.scenes_size)
    elif data.dataset == "distilled":
        images = read_distilled(data.source).pairs
    else:
        images = _IMAGES.get(of_coco, _UNLISTED_IMAGES)
    return min(images, data.limit) if data.limit else images


def _but_seed(cell: Cell) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in cell.axes.items() if name != "seed")


def in_words(seconds: float) -> str:
    """Returns a time in the unit that a person would choose."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
