"""What an experiment is: frozen groups of settings, checked when made, equal to and from JSON.

`flags/` makes one command-line flag of every field; a notebook makes `Settings(...)` itself.
A field whose default is None takes the value that suits the data set, the captioner and the encoder; `resolve` fills it
in, and its type says what it is from then on.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from tfcap import registry
from tfcap.errors import InputError
from tfcap.files import hash_of


@dataclasses.dataclass(frozen=True)
class Range:
    """What a field accepts, in words a flag's help can show and in a check."""

    low: float | None = None
    high: float | None = None
    choices: Sequence[str] | registry.Registry | None = None
    open_low: bool = False
    unit: str = ""
    several: bool = False

    def __str__(self) -> str:
        if self.choices is not None and self.several:
            return "none or some of " + ", ".join(self.choices) + ", joined by commas"
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        words = f" {self.unit}" if self.unit else ""
        if self.low is None:
            return self.unit
        if self.high is None:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}{words}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}]{words}"

    def check(self, name: str, value: Any) -> None:
        """Raises InputError naming the field `name` if `value` lies outside."""
        if isinstance(self.choices, registry.Registry):
            names = several(value) if self.several else [value]
            for one in names:
                self.choices.check(one)
            if len(set(names)) < len(names):
                raise InputError(f"--{name} names one twice", received=repr(value), expected=self)
        elif self.choices is not None and value not in self.choices:
            raise InputError(f"Unknown --{name}", received=repr(value), expected=self)
        if self.low is not None:
            too_low = value <= self.low if self.open_low else value < self.low
            if not (value == value) or too_low or (self.high is not None and value > self.high):
                raise InputError(f"--{name} is out of range", received=value, expected=self)


def several(names: str) -> list[str]:
    """Returns the names that are joined by commas; none for an empty text."""
    return [name.strip() for name in names.split(",")] if names else []


def _field(default: Any, **range_words: Any) -> Any:
    return dataclasses.field(default=default, metadata={"range": Range(**range_words)})


def plain_type(field: dataclasses.Field[Any], group: type) -> type:
    """Returns the type of a field: str, int, float or bool."""
    return _types(group)[field.name]


@functools.cache  # reading annotations is slow, and a grid makes thousands of settings
def _types(group: type) -> dict[str, type]:
    return typing.get_type_hints(group)


class _Group:
    """Checks every field's type and range when an instance is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            expected = plain_type(field, type(self))
            if expected is float and type(value) is int:
                value = float(value)
                object.__setattr__(self, field.name, value)
            if type(value) is not expected:
                raise InputError(f"--{field.name} has the wrong type", received=repr(value), expected=expected.__name__)
            field.metadata["range"].check(field.name, value)


@dataclasses.dataclass(frozen=True)
class DataSettings(_Group):
    dataset: str = _field("scenes", choices=registry.DATASETS)
    source: str = _field("", unit="folder")
    data_dir: str = _field("data", unit="folder")
    coco_split: str = _field("official", choices=("official", "karpathy", "val2017"))
    karpathy_json: str = _field("", unit="file")
    scenes_size: int = _field(2500, low=10, high=100_000, unit="images")
    scenes_seed: int = _field(0, low=0, high=2**31 - 1)
    recipes_seed: int = _field(0, low=0, high=2**31 - 1)
    resize_shorter_side: int = _field(0, low=0, high=4096, unit="pixels; 0 keeps the size")
    shards: int = _field(0, low=0, high=4096, unit="shards a split; 0 lets TFDS choose")
    image_size: int = _field(None, low=16, high=1024, unit="pixels a side")
    max_tokens: int = _field(32, low=2, high=512, unit="tokens, begin and end included")
    min_word_count: int = _field(5, low=1, high=10**6, unit="occurrences in the train split")
    augment: str = _field(None, choices=("none", "crop", "flip", "crop_flip"))
    limit: int = _field(0, low=0, high=10**9, unit="images a split; 0 takes all")


@dataclasses.dataclass(frozen=True)
class SelectionSettings(_Group):
    selector: str = _field("random", choices=registry.SELECTORS)
    fraction: float = _field(0.75, low=0, high=1, open_low=True, unit="of the train images, or pairs")
    level: str = _field("image", choices=("image", "pair"))
    selection_score: str = _field("loss", choices=registry.SCORES)
    noise_cut: float = _field(0.1, low=0, high=1, unit="of the train images")
    strata: int = _field(50, low=1, high=1_000_000, unit="strata")
    clusters: int = _field(0, low=0, high=10**9, unit="clusters; 0 lets the selector choose")
    neighbours: int = _field(0, low=0, high=100_000, unit="images; 0 lets the selector choose")
    mixture: str = _field("loss:0.5,random:0.3,k_center:0.2", unit="selector:share, joined by commas")
    class_balanced: bool = _field(False)
    proxy: str = _field(None, choices=registry.CAPTIONERS)
    proxy_epochs: int = _field(None, low=0, high=100_000, unit="epochs")
    score_seeds: int = _field(1, low=1, high=1000, unit="seeds")
    score_epochs: str = _field("", unit="epochs, joined by commas")
    teacher: str = _field("", unit="run folder")
    dual_encoder: str = _field("", unit="folder, or hf://user/name[@revision]")
    token_reduction: str = _field("mean", choices=("mean", "sum"))
    score_batch_size: int = _field(32, low=1, high=65_536, unit="images a replica")
    targets: int = _field(10, low=1, high=10**6, unit="groups of validation images")
    sketch_dimensions: int = _field(1024, low=16, high=2**20, unit="dimensions, a square number")
    sketch_type: str = _field("float16", choices=("float16", "bits"))
    gradient_norm_fallback: str = _field("error", choices=("error", "instantiate"))
    learnt_accuracy: float = _field(0.5, low=0, high=1, open_low=True, unit="of a caption's words")

    def epochs_named(self) -> list[int]:
        """Returns the epochs of --score_epochs, ascending, none if it names none; raises InputError otherwise."""
        words = [word.strip() for word in self.score_epochs.split(",")] if self.score_epochs else []
        if not all(word.isdecimal() for word in words) or len({int(word) for word in words}) < len(words):
            raise InputError(
                "--score_epochs cannot be read",
                received=repr(self.score_epochs),
                expected="whole numbers, each once, such as 1,2,5; 0 is before training",
            )
        return sorted(int(word) for word in words)


@dataclasses.dataclass(frozen=True)
class ModelSettings(_Group):
    model: str = _field("resnet50_lstm", choices=registry.CAPTIONERS)
    encoder: str = _field(None, choices=registry.ENCODERS)
    encoder_weights: str = _field(
        None, unit="imagenet, none, a .weights.h5 file; for CLIP and ViT a folder or hf://user/name"
    )
    freeze_encoder: bool = _field(None)
    train: str = _field(None, choices=("all", "encoder", "decoder", "projection", "lora"))
    checkpoint: str = _field("", unit="folder, or hf://user/name[@revision]")
    tokenizer: str = _field("", unit="folder, or hf://user/name[@revision]")
    shape: str = _field(None, choices=("tiny", "small", "base", "large", "1b", "3b"))
    mapper: str = _field("linear", choices=("linear", "mlp", "transformer"))
    prefix_length: int = _field(10, low=1, high=1024, unit="vectors in front of the words")
    lora_rank: int = _field(16, low=1, high=4096, unit="dimensions")
    lora_alpha: float = _field(32.0, low=0, open_low=True, high=1e6)
    lora_dropout: float = _field(0.1, low=0, high=0.95, unit="of the adapters' inputs dropped")
    units: int = _field(None, low=1, high=16_384, unit="LSTM units")
    embedding_size: int = _field(None, low=1, high=16_384, unit="dimensions")
    attention: bool = _field(False)
    tie_embeddings: bool = _field(None)
    dropout: float = _field(0.3, low=0, high=0.95, unit="of the activations dropped")
    image_dropout: float = _field(None, low=0, high=0.95, unit="of the image features dropped")


@dataclasses.dataclass(frozen=True)
class TrainingSettings(_Group):
    epochs: int = _field(None, low=1, high=100_000, unit="passes over the kept images, one caption each")
    batch_size: int = _field(None, low=1, high=1_000_000, unit="images over all replicas")
    learning_rate: float = _field(1e-3, low=0, open_low=True, high=100)
    weight_decay: float = _field(0.01, low=0, high=100)
    warmup_fraction: float = _field(0.05, low=0, high=1, unit="of the steps")
    clip_norm: float = _field(1.0, low=0, high=1e9, unit="global gradient norm; 0 does not clip")
    label_smoothing: float = _field(0.0, low=0, high=0.9)
    validate_every: int = _field(None, low=1, high=100_000, unit="epochs")
    checkpoint_every: int = _field(
        0, low=0, high=10**9, unit="steps between checkpoints inside an epoch; 0 saves at epoch ends"
    )
    strategy: str = _field("auto", choices=("auto", "single", "mirrored", "multiworker"))
    xla: bool = _field(True)
    virtual_devices: int = _field(0, low=0, high=64, unit="logical CPU devices; 0 leaves the machine as it is")
    mixed_precision: bool = _field(False)
    track: str = _field("", choices=registry.TRACKED, several=True)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings(_Group):
    beams: int = _field(3, low=1, high=64, unit="beams; 1 is greedy")
    length_penalty: float = _field(1.0, low=0, high=10, unit="exponent of the caption's length")
    early_stopping: bool = _field(False)
    no_repeat_ngram: int = _field(0, low=0, high=64, unit="words; 0 forbids nothing")
    temperature: float = _field(0.0, low=0, high=100, unit="of the softmax; 0 draws nothing")
    top_p: float = _field(1.0, low=0, high=1, open_low=True, unit="of the probability")
    eval_batch_size: int = _field(50, low=1, high=65_536, unit="images")
    bootstrap_resamples: int = _field(1000, low=10, high=1_000_000, unit="resamples")
    java: str = _field("auto", choices=("auto", "never", "require"))
    samples: int = _field(12, low=1, high=100, unit="pictures in samples.png")
    export: bool = _field(True)


@dataclasses.dataclass(frozen=True)
class RunSettings(_Group):
    run_dir: str = _field("", unit="folder")
    scoring_dir: str = _field("", unit="folder")
    seed: int = _field(0, low=0, high=2**31 - 1)
    resume: bool = _field(True)
    progress: bool = _field(True)


# Of single commands, and so no part of an experiment.


@dataclasses.dataclass(frozen=True)
class SelectSettings(_Group):
    scores: str = _field("", unit="run folder, or a score file in one")
    fractions: str = _field("0.25,0.5,0.75", unit="parts of the train images in (0, 1], joined by commas")
    formats: str = _field("text", unit="text, parquet and coco, joined by commas")
    out: str = _field("", unit="folder")


@dataclasses.dataclass(frozen=True)
class ScoreSettings(_Group):
    score: str = _field("caption_consensus", choices=registry.SCORES)
    out: str = _field("", unit="run folder")
    runner: str = _field("", unit="a runner of Apache Beam, such as DirectRunner")
    workers: int = _field(0, low=0, high=4096, unit="processes; 0 is one a core")
    beam_options: str = _field("", unit="options, joined by spaces")


@dataclasses.dataclass(frozen=True)
class InspectSettings(_Group):
    out: str = _field("", unit="PNG file; by itself scores.png in the run folder")


@dataclasses.dataclass(frozen=True)
class StudySettings(_Group):
    out: str = _field("", unit="folder")
    jobs: int = _field(1, low=1, high=1024, unit="experiments")
    dry_run: bool = _field(False)


# Settings that change where or how an experiment runs but none of its numbers: a resumed run may change them.
NEUTRAL = frozenset(
    {
        "source",
        "data_dir",
        "shards",
        "run_dir",
        "scoring_dir",
        "resume",
        "progress",
        "checkpoint_every",
        "strategy",
        "xla",
        "virtual_devices",
        "samples",
        "export",
    }
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """One experiment, whole."""

    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    selection: SelectionSettings = dataclasses.field(default_factory=SelectionSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)

    def replace(self, **values: Any) -> Settings:
        """Returns a copy with fields replaced by name, whichever group they are in: `settings.replace(seed=1)`."""
        groups = {}
        for group in dataclasses.fields(self):
            current = getattr(self, group.name)
            names = {field.name for field in dataclasses.fields(current)}
            groups[group.name] = dataclasses.replace(current, **{k: values.pop(k) for k in list(values) if k in names})
        if values:
            raise InputError("Unknown setting", received=", ".join(values), expected="a field of " + ", ".join(groups))
        return Settings(**groups)

    def resolve(self) -> Settings:
        """Returns a copy in which every None has become the value that suits data set, captioner and encoder.

        Raises:
          InputError: fields are right alone and wrong together.
        """
        from tfcap.defaults import resolved  # which is made of this class

        return resolved(self)

    def get(self, name: str) -> Any:
        """Returns the value of the field `name`, whichever group it is in."""
        for group in dataclasses.fields(self):
            if hasattr(getattr(self, group.name), name):
                return getattr(getattr(self, group.name), name)
        raise InputError("Unknown setting", received=name)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Returns the settings as nested dicts of plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Mapping[str, Any]]) -> Settings:
        """Returns the settings that `to_json` gave; raises InputError for unknown groups or fields."""
        flat = [(group, name, item) for group, fields in value.items() for name, item in fields.items()]
        return cls().replace(**{name: item for _, name, item in flat})

    def difference(self, other: Settings) -> dict[str, tuple[Any, Any]]:
        """Returns {field: (ours, theirs)} for the fields that differ and that change the numbers."""
        ours = {name: item for fields in self.to_json().values() for name, item in fields.items()}
        theirs = {name: item for fields in other.to_json().values() for name, item in fields.items()}
        return {name: (ours[name], theirs[name]) for name in ours if name not in NEUTRAL and ours[name] != theirs[name]}

    def hash(self) -> str:
        """Returns 16 hex digits that are equal exactly when no field that changes the numbers differs."""
        flat = {name: item for fields in self.to_json().values() for name, item in fields.items()}
        return hash_of({name: item for name, item in flat.items() if name not in NEUTRAL})[:16]
