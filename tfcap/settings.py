"""What an experiment is: frozen groups of settings, checked when made, equal to and from JSON.

`flags/` makes one command-line flag of every field; a notebook makes `Settings(...)` itself.
A field whose default is None takes the value that suits the data set, the captioner and the encoder; `resolve` fills it
in, and its type says what it is from then on. It stays None where it has no effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfcap import registry
from tfcap.effects import CLASSIFIER, beside, without_effect
from tfcap.errors import InputError
from tfcap.fields import Group, field
from tfcap.files import hash_of
from tfcap.resolution import resolved


@dataclasses.dataclass(frozen=True)
class DataSettings(Group):
    dataset: str = field("scenes", choices=registry.DATASETS)
    source: str = field("", unit="folder")
    data_dir: str = field("data", unit="folder")
    coco_split: str = field("official", choices=("official", "karpathy", "val2017"))
    karpathy_json: str = field("", unit="file")
    scenes_size: int = field(2500, low=10, high=100_000, unit="images")
    scenes_seed: int = field(0, low=0, high=2**31 - 1)
    recipes_seed: int = field(0, low=0, high=2**31 - 1)
    resize_shorter_side: int = field(0, low=0, high=4096, unit="pixels; 0 keeps the size")
    shards: int = field(0, low=0, high=4096, unit="shards a split; 0 lets TFDS choose")
    image_size: int = field(None, low=16, high=1024, unit="pixels a side")
    max_tokens: int = field(32, low=2, high=512, unit="tokens, begin and end included")
    min_word_count: int = field(None, low=1, high=10**6, unit="occurrences in the train split")
    augment: str = field(None, choices=("none", "crop", "flip", "crop_flip", "pad_crop", "pad_crop_flip"))
    limit: int = field(0, low=0, high=10**9, unit="images a split; 0 takes all")


@dataclasses.dataclass(frozen=True)
class SelectionSettings(Group):
    selector: str = field("random", choices=registry.SELECTORS)
    fraction: float = field(0.75, low=0, high=1, open_low=True, unit="of the train images, or pairs")
    level: str = field("image", choices=("image", "pair"))
    selection_score: str = field("loss", choices=registry.SCORES)
    noise_cut: float = field(0.1, low=0, high=1, unit="of the train images")
    strata: int = field(50, low=1, high=1_000_000, unit="strata")
    clusters: int = field(0, low=0, high=10**9, unit="clusters; 0 lets the selector choose")
    neighbours: int = field(0, low=0, high=100_000, unit="images; 0 lets the selector choose")
    mixture: str = field("loss:0.5,random:0.3,k_center:0.2", unit="selector:share, joined by commas")
    class_balanced: bool = field(False)
    proxy: str = field(None, choices=registry.CAPTIONERS)
    proxy_epochs: int = field(None, low=0, high=100_000, unit="epochs")
    score_seeds: int = field(1, low=1, high=1000, unit="seeds")
    score_epochs: str = field("", unit="epochs, joined by commas")
    teacher: str = field("", unit="run folder")
    dual_encoder: str = field("", unit="folder, or hf://user/name[@revision]")
    token_reduction: str = field("mean", choices=("mean", "sum"))
    score_batch_size: int = field(32, low=1, high=65_536, unit="images a replica")
    targets: int = field(10, low=1, high=10**6, unit="groups of validation images")
    sketch_dimensions: int = field(1024, low=16, high=2**20, unit="dimensions, a square number")
    sketch_type: str = field("float16", choices=("float16", "bits"))
    gradient_norm_fallback: str = field("error", choices=("error", "instantiate"))
    learnt_accuracy: float = field(0.5, low=0, high=1, open_low=True, unit="of a caption's words")

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
class ModelSettings(Group):
    model: str = field("resnet50_lstm", choices=registry.CAPTIONERS)
    encoder: str = field(None, choices=registry.ENCODERS)
    encoder_weights: str = field(
        None, unit="imagenet, none, a .weights.h5 file; for CLIP and ViT a folder or hf://user/name"
    )
    norm: str = field(None, choices=("batch", "group"))
    width: int = field(None, low=1, high=4096, unit="channels of the first stage")
    freeze_encoder: bool = field(None)
    train: str = field(None, choices=("all", "encoder", "decoder", "projection", "lora"))
    checkpoint: str = field("", unit="folder, or hf://user/name[@revision]")
    tokenizer: str = field("", unit="folder, or hf://user/name[@revision]")
    shape: str = field(None, choices=("tiny", "mini", "small", "base", "large", "1b", "3b"))
    mapper: str = field(None, choices=("linear", "mlp", "transformer"))
    prefix_length: int = field(None, low=1, high=1024, unit="vectors in front of the words")
    lora_rank: int = field(None, low=1, high=4096, unit="dimensions")
    lora_alpha: float = field(None, low=0, open_low=True, high=1e6)
    lora_dropout: float = field(None, low=0, high=0.95, unit="of the adapters' inputs dropped")
    units: int = field(None, low=1, high=16_384, unit="LSTM units")
    embedding_size: int = field(None, low=1, high=16_384, unit="dimensions")
    attention: bool = field(False)
    tie_embeddings: bool = field(None)
    dropout: float = field(0.3, low=0, high=0.95, unit="of the activations dropped")
    image_dropout: float = field(None, low=0, high=0.95, unit="of the image features dropped")


@dataclasses.dataclass(frozen=True)
class TrainingSettings(Group):
    epochs: int = field(None, low=1, high=100_000, unit="passes over the kept images, one caption each")
    budget_steps: bool = field(False)
    batch_size: int = field(None, low=1, high=1_000_000, unit="images over all replicas")
    learning_rate: float = field(1e-3, low=0, open_low=True, high=100)
    weight_decay: float = field(0.01, low=0, high=100)
    warmup_fraction: float = field(0.05, low=0, high=1, unit="of the steps")
    clip_norm: float = field(1.0, low=0, high=1e9, unit="global gradient norm; 0 does not clip")
    label_smoothing: float = field(0.0, low=0, high=0.9)
    knowledge_distillation: bool = field(False)
    kd_alpha: float = field(None, low=0, high=1, unit="of the loss by the captions themselves")
    kd_temperature: float = field(None, low=0, open_low=True, high=1000, unit="of both softmaxes")
    validate_every: int = field(None, low=1, high=100_000, unit="epochs")
    checkpoint_every: int = field(
        0, low=0, high=10**9, unit="steps between checkpoints inside an epoch; 0 saves at epoch ends"
    )
    strategy: str = field("auto", choices=("auto", "single", "mirrored", "multiworker"))
    xla: bool = field(True)
    virtual_devices: int = field(0, low=0, high=64, unit="logical CPU devices; 0 leaves the machine as it is")
    mixed_precision: bool = field(False)
    track: str = field("", choices=registry.TRACKED, several=True)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings(Group):
    beams: int = field(3, low=1, high=64, unit="beams; 1 is greedy")
    length_penalty: float = field(1.0, low=0, high=10, unit="exponent of the caption's length")
    early_stopping: bool = field(False)
    no_repeat_ngram: int = field(0, low=0, high=64, unit="words; 0 forbids nothing")
    temperature: float = field(0.0, low=0, high=100, unit="of the softmax; 0 draws nothing")
    top_p: float = field(1.0, low=0, high=1, open_low=True, unit="of the probability")
    eval_batch_size: int = field(50, low=1, high=65_536, unit="images")
    bootstrap_resamples: int = field(1000, low=10, high=1_000_000, unit="resamples")
    java: str = field("auto", choices=("auto", "never", "require"))
    samples: int = field(12, low=1, high=100, unit="pictures in samples.png")
    export: bool = field(True)


@dataclasses.dataclass(frozen=True)
class RunSettings(Group):
    run_dir: str = field("", unit="folder")
    scoring_dir: str = field("", unit="folder")
    seed: int = field(0, low=0, high=2**31 - 1)
    resume: bool = field(True)
    progress: bool = field(True)
    tracker: str = field("tensorboard", choices=registry.TRACKERS, several=True)


# Settings that say how captions are chosen by a captioner that is trained.
DECODING = ("beams", "length_penalty", "early_stopping", "no_repeat_ngram", "temperature", "top_p")

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
        "tracker",
        "checkpoint_every",
        "strategy",
        "xla",
        "virtual_devices",
        "samples",
        "export",
    }
)


def _neutral(values: Mapping[str, Any]) -> frozenset[str]:
    """Returns NEUTRAL as it is for these settings: a distilled set is known by its folder alone."""
    return NEUTRAL - {"source"} if values["dataset"] == "distilled" else NEUTRAL


# What runs did whose description lacks a field, where the field's default is something else.
_BEFORE = {"tie_embeddings": False}


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
        """Returns a copy in which every None that has an effect is what suits data set, captioner and encoder.

        Raises:
          InputError: a field has no effect, or fields are right alone and wrong together.
        """
        self.selection.epochs_named()
        return self.replace(**resolved(self.by_name()))

    def with_effect(self) -> Settings:
        """Returns a copy in which a field without effect, which `resolve` would refuse, is what nobody has said."""
        return self.replace(**without_effect(self.by_name()))

    def beside(self, name: str) -> Settings:
        """Returns the settings of the captioner `name`, the experiment's own or one that is trained beside it."""
        if name == self.model.model:
            return self
        return self.replace(**beside(self.by_name(), name)).with_effect()

    def by_name(self) -> dict[str, Any]:
        """Returns {field: value} over all groups; names of fields are unique."""
        return {name: item for fields in self.to_json().values() for name, item in fields.items()}

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
        """Returns the settings that `to_json` gave, now or before some fields were there.

        Raises:
          InputError: a group or a field is unknown.
        """
        said = {name: item for fields in value.values() for name, item in fields.items()}
        return cls().replace(**{**_BEFORE, **said})

    def difference(self, other: Settings) -> dict[str, tuple[Any, Any]]:
        """Returns {field: (ours, theirs)} for the fields that differ and that change the numbers."""
        ours, theirs = self.by_name(), other.by_name()
        neutral = _neutral(ours)
        return {name: (ours[name], theirs[name]) for name in ours if name not in neutral and ours[name] != theirs[name]}

    @property
    def quality(self) -> str:
        """Which number says how good the run is, by its name in `tfcap.evaluation.quality`."""
        return "accuracy" if self.model.model == CLASSIFIER else "CIDEr"

    def hash(self) -> str:
        """Returns 16 hex digits that are equal exactly when no field that changes the numbers differs."""
        values = self.by_name()
        return hash_of({name: item for name, item in values.items() if name not in _neutral(values)})[:16]
