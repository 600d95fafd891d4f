"""What a command of distillation is asked for, with what nobody has said filled in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcap import registry
from tfcap.command_settings import DistillSettings
from tfcap.effects import CIFAR_RESNET
from tfcap.errors import InputError
from tfcap.fields import several
from tfcap.settings import Settings

VERBS = ("experts", "match", "evaluate", "study")
NOISE = "noise"  # what --start may be beside a method
TEXT_ENCODER = "text_encoder"  # folder of the small one, beside sets
_SMALL = "small"
_STEPWISE = ("trajectory", "gradient_matching", "covmatch")  # methods that begin with what --start says


def resolved(asked: DistillSettings, said: Mapping[str, Any], verb: str) -> tuple[DistillSettings, Settings]:
    """Returns the settings of the command and those of the data, the image encoder and the process.

    By itself `scenes` has a small image encoder without weights, which trains; photographs have ResNet-50 with those of
    ImageNet, whose projection trains. Steps on features are compiled by XLA, and those on pictures are not: an image
    encoder's second derivative takes minutes to compile, and no less time to compute on CPUs.

    Raises:
      InputError: --out is missing, or settings are right alone and wrong together.
    """
    if not asked.out:
        raise InputError("--out is missing", expected="--out=FOLDER", remedy="See --help.")
    if asked.sets and verb != "evaluate":
        raise InputError("--sets names what is evaluated", received=f"{verb} --sets", expected="evaluate --sets=FOLDER")
    settings = Settings().replace(**said)
    if settings.model.encoder == CIFAR_RESNET:
        raise InputError(
            "Experts and students are known by their parameters, beside which batch normalisation moves statistics",
            received=f"--encoder={CIFAR_RESNET}",
            expected="an encoder without it, such as nf_resnet_small",
        )
    on_scenes = settings.data.dataset == "scenes"
    small = on_scenes and settings.model.encoder is None
    settings = settings.replace(
        encoder=settings.model.encoder or ("nf_resnet_small" if on_scenes else "resnet50"),
        image_size=settings.data.image_size or (64 if small else 224),
    )
    _check_pictures(settings)
    if settings.model.encoder_weights is None:
        from_scratch = settings.model.encoder.startswith(("nf_resnet", "small_resnet"))
        settings = settings.replace(encoder_weights="none" if from_scratch else "imagenet")
    has_weights = settings.model.encoder_weights != "none"
    asked = dataclasses.replace(
        asked,
        trains=asked.trains or ("projections" if has_weights else "encoder"),
        text_weights=asked.text_weights or _text_weights_beside(asked),
    )
    settings = settings.replace(xla=said.get("xla", asked.trains == "projections"))
    _check(asked, has_weights)
    _check_words(asked, verb)
    return asked, settings


def _check_pictures(settings: Settings) -> None:
    """Raises InputError for pictures of classes."""
    if settings.data.dataset in registry.OF_CLASSES:
        raise InputError(
            "Pictures of one class share their caption, so that none can be retrieved by it",
            received=f"--dataset={settings.data.dataset}",
            expected="a data set of captions",
        )


def _text_weights_beside(asked: DistillSettings) -> str:
    """Returns the small text encoder that was kept beside the sets to evaluate; nothing where there is none."""
    if asked.text_encoder != _SMALL or not asked.sets:
        return ""
    sets = Path(asked.sets).absolute()
    found = (folder / TEXT_ENCODER for folder in (sets, *sets.parents[:2]))
    return next((str(folder) for folder in found if folder.is_dir()), "")


def _check(asked: DistillSettings, has_weights: bool) -> None:
    if asked.trains != "encoder" and not has_weights:
        raise InputError(
            "An image encoder without weights would stay random",
            received=f"--trains={asked.trains} --encoder_weights=none",
            expected="weights for the encoder, or --trains=encoder",
        )
    if asked.text_encoder != _SMALL and not asked.text_weights:
        raise InputError(
            "A text encoder without weights would stay random",
            received=f"--text_encoder={asked.text_encoder} without --text_weights",
            expected="weights for it, or --text_encoder=small, which is trained here",
        )
    if asked.latest_start + asked.expert_span > asked.expert_epochs:
        raise InputError(
            "An expert ends before the latest point that is matched",
            received=f"--latest_start={asked.latest_start} --expert_span={asked.expert_span}"
            f" --expert_epochs={asked.expert_epochs}",
            expected="latest_start + expert_span of at most expert_epochs",
        )


def _check_words(asked: DistillSettings, verb: str) -> None:
    """Raises InputError for a list or a start that cannot be read, before anything is trained."""
    numbers("judge_rates", asked.judge_rates, float)
    if verb == "study":
        numbers("sizes", asked.sizes, int)
        numbers("seeds", asked.seeds, int)
        if not several(asked.methods):
            raise InputError("--methods names none", expected="methods, joined by commas", remedy="See --help.")
    in_one_go = [name for name in registry.DISTILLERS if name not in _STEPWISE]
    if asked.start not in (*in_one_go, NOISE):
        known = "Unknown --start" if asked.start not in _STEPWISE else "A method with steps cannot be a start"
        raise InputError(known, received=repr(asked.start), expected=f"{NOISE}, or one of {', '.join(in_one_go)}")


def numbers(name: str, text: str, kind: type) -> list[Any]:
    """Returns the numbers of a flag that lists them, each once; raises InputError for anything else."""
    low = 1 if name == "sizes" else 0
    words = f"whole numbers from {low}" if kind is int else "numbers above 0"
    try:
        found = [kind(word) for word in text.split(",")]
    except ValueError:
        found = []
    fit = all(low <= one < 2**31 if kind is int else 0 < one < math.inf for one in found)
    if not found or not fit or len(set(found)) < len(found):
        raise InputError(f"--{name} cannot be read", received=repr(text), expected=f"{words}, each once, by commas")
    return found
