"""The settings of single commands, which are no part of an experiment."""

from __future__ import annotations

import dataclasses

from tfcap import registry
from tfcap.fields import Group, field


@dataclasses.dataclass(frozen=True)
class SelectSettings(Group):
    scores: str = field("", unit="run folder, or a score file in one")
    fractions: str = field("0.25,0.5,0.75", unit="parts of the train images in (0, 1], joined by commas")
    formats: str = field("text", unit="text, parquet and coco, joined by commas")
    out: str = field("", unit="folder")


@dataclasses.dataclass(frozen=True)
class ScoreSettings(Group):
    score: str = field("caption_consensus", choices=registry.SCORES)
    out: str = field("", unit="run folder")
    runner: str = field("", unit="a runner of Apache Beam, such as DirectRunner")
    workers: int = field(0, low=0, high=4096, unit="processes; 0 is one a core")
    beam_options: str = field("", unit="options, joined by spaces")


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Group):
    model: str = field("gemma3", choices=registry.DIRECT)
    checkpoint: str = field("", unit="folder, or hf://user/name; a preset of KerasHub may also be kaggle://...")
    split: str = field("test", choices=("train", "validation", "test"))
    prompt: str = field("", unit="text; a blank for none, and by itself the captioner's own")
    precision: str = field("float32", choices=("float32", "bfloat16"))
    out: str = field("", unit="folder")


@dataclasses.dataclass(frozen=True)
class InspectSettings(Group):
    out: str = field("", unit="PNG file; by itself scores.png in the run folder")


@dataclasses.dataclass(frozen=True)
class ConvertSettings(Group):
    run: str = field("", unit="folder of a finished run")
    out: str = field("", unit="folder")


@dataclasses.dataclass(frozen=True)
class ReportSettings(Group):
    out: str = field("report", unit="folder")
    title: str = field("How much data, and which?", unit="text")
    pictures: int = field(24, low=0, high=200, unit="pictures")


@dataclasses.dataclass(frozen=True)
class StudySettings(Group):
    out: str = field("", unit="folder")
    jobs: int = field(1, low=1, high=1024, unit="experiments")
    dry_run: bool = field(False)


@dataclasses.dataclass(frozen=True)
class TuneSettings(Group):
    out: str = field("", unit="folder")
    search: str = field("", unit="flag=low..high, flag=low..high:log, flag=low..high:step or flag=a|b, by commas")
    trials: int = field(20, low=1, high=100_000, unit="trials")
    pruner: str = field("median", choices=("median", "hyperband", "none"))
