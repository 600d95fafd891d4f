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


@dataclasses.dataclass(frozen=True)
class DistillSettings(Group):
    """Those of `tfcap.distill`; `distillation.asked.resolved` fills in what is None."""

    out: str = field("", unit="folder")
    method: str = field("trajectory", choices=registry.DISTILLERS)
    pairs: int = field(100, low=1, high=1_000_000, unit="pairs")
    text_encoder: str = field("small", choices=registry.TEXT_ENCODERS)
    text_weights: str = field("", unit="folder, or hf://user/name[@revision]")
    text_epochs: int = field(20, low=1, high=100_000, unit="epochs")
    trains: str = field(None, choices=("projections", "encoder", "lora"))
    lora_rank: int = field(8, low=1, high=4096, unit="dimensions")
    projection_size: int = field(512, low=1, high=65_536, unit="dimensions")
    temperature: float = field(0.07, low=0.01, high=100)
    experts: int = field(10, low=1, high=10_000, unit="experts")
    expert_epochs: int = field(10, low=1, high=10_000, unit="epochs")
    batch_size: int = field(128, low=2, high=1_000_000, unit="pairs")
    expert_rate: float = field(1.0, low=0, open_low=True, high=1e6)
    expert_text_rate: float = field(1.0, low=0, open_low=True, high=1e6)
    latest_start: int = field(2, low=0, high=10_000, unit="epochs")
    expert_span: int = field(1, low=1, high=10_000, unit="epochs")
    inner_steps: int = field(8, low=1, high=100_000, unit="steps")
    inner_batch: int = field(0, low=0, high=1_000_000, unit="pairs; 0 takes all")
    modalities: str = field("both", choices=("both", "image", "text"))
    low_memory: bool = field(False)
    start: str = field("random", unit="noise, or a method without steps")
    steps: int = field(500, low=1, high=10**9, unit="steps")
    optimizer: str = field("adam", choices=("adam", "sgd"))
    image_rate: float = field(0.01, low=0, high=1e9)
    text_rate: float = field(0.01, low=0, high=1e9)
    rate_rate: float = field(0.01, low=0, high=1e9)
    student_rate: float = field(0.1, low=0, open_low=True, high=1e6)
    restart_every: int = field(50, low=1, high=10**9, unit="steps")
    mean_weight: float = field(1.0, low=0, high=1e9)
    covariance_scale: float = field(1.0, low=0, open_low=True, high=1e9)
    checkpoint_every: int = field(50, low=1, high=10**9, unit="steps")
    show_every: int = field(50, low=1, high=10**9, unit="steps")
    judge_rates: str = field("0.03,0.1,0.3,1", unit="rates, joined by commas")
    judge_steps: int = field(300, low=1, high=10**9, unit="steps")
    judge_batch: int = field(128, low=2, high=1_000_000, unit="pairs, or all where there are fewer")
    sets: str = field("", unit="folder of one set, or of several")
    methods: str = field(
        "random,herding,k_center,k_means,forgetting,stratified", choices=registry.DISTILLERS, several=True
    )
    sizes: str = field("100,200,500,1000", unit="pairs, joined by commas")
    seeds: str = field("0,1,2", unit="seeds, joined by commas")
