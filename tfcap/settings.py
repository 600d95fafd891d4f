"""What an experiment is: frozen groups of settings, checked when made, equal to and from JSON.

`flags/` makes one command-line flag of every field; a notebook makes `Settings(...)` itself.
A field whose default is None takes the value that suits the data set, the captioner and the encoder; `resolve` fills it
in, and its type says what it is from then on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfcap import registry
from tfcap.errors import InputError
from tfcap.fields import Group, field
from tfcap.files import hash_of


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
    min_word_count: int = field(5, low=1, high=10**6, unit="occurrences in the train split")
    augment: str = field(None, choices=("none", "crop", "flip", "crop_flip"))
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
    freeze_encoder: bool = field(None)
    train: str = field(None, choices=("all", "encoder", "decoder", "projection", "lora"))
    checkpoint: str = field("", unit="folder, or hf://user/name[@revision]")
    tokenizer: str = field("", unit="folder, or hf://user/name[@revision]")
    shape: str = field(None, choices=("tiny", "small", "base", "large", "1b", "3b"))
    mapper: str = field("linear", choices=("linear", "mlp", "transformer"))
    prefix_length: int = field(10, low=1, high=1024, unit="vectors in front of the words")
    lora_rank: int = field(16, low=1, high=4096, unit="dimensions")
    lora_alpha: float = field(32.0, low=0, open_low=True, high=1e6)
    lora_dropout: float = field(0.1, low=0, high=0.95, unit="of the adapters' inputs dropped")
    units: int = field(None, low=1, high=16_384, unit="LSTM units")
    embedding_size: int = field(None, low=1, high=16_384, unit="dimensions")
    attention: bool = field(False)
    tie_embeddings: bool = field(None)
    dropout: float = field(0.3, low=0, high=0.95, unit="of the activations dropped")
    image_dropout: float = field(None, low=0, high=0.95, unit="of the image features dropped")


@dataclasses.dataclass(frozen=True)
class TrainingSettings(Group):
    epochs: int = field(None, low=1, high=100_000, unit="passes over the kept images, one caption each")
    batch_size: int = field(None, low=1, high=1_000_000, unit="images over all replicas")
    learning_rate: float = field(1e-3, low=0, open_low=True, high=100)
    weight_decay: float = field(0.01, low=0, high=100)
    warmup_fraction: float = field(0.05, low=0, high=1, unit="of the steps")
    clip_norm: float = field(1.0, low=0, high=1e9, unit="global gradient norm; 0 does not clip")
    label_smoothing: float = field(0.0, low=0, high=0.9)
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


# What None stands for, by data set and then by encoder. `scenes` trains a small encoder from scratch in minutes.
_FOR_SCENES: dict[str, dict[str, Any]] = {
    "model": {"encoder": "small_resnet", "units": 256, "embedding_size": 128, "shape": "tiny"},
    "training": {"epochs": 25, "batch_size": 50, "validate_every": 5},
}
_FOR_PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "model": {"encoder": "resnet50", "units": 512, "embedding_size": 512, "shape": "base"},
    "training": {"epochs": 30, "batch_size": 128, "validate_every": 1},
}

# Captioners whose encoder is the one in their name whatever the data set, unless --encoder says otherwise.
OWN_ENCODER = {"vgg19_lstm": "vgg19"}
# Captioners with an encoder of their own on photographs, or on any data set if it comes out of their --checkpoint.
_ON_PHOTOGRAPHS = {"clip_gpt2": "clip_vit_b32", "vit_gpt2": "vit_b16", "vit_llama": "vit_b16"}
_IN_CHECKPOINT = {"vit_gpt2": "vit", "git": "git_vit"}
# Parts of a captioner that --train names, and in which the encoder learns too.
_ENCODER_TRAINS = ("all", "encoder")

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
        """Returns a copy in which every None has become the value that suits data set, captioner and encoder.

        Raises:
          InputError: fields are right alone and wrong together.
        """
        return _resolved(self)

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
        ours = {name: item for fields in self.to_json().values() for name, item in fields.items()}
        theirs = {name: item for fields in other.to_json().values() for name, item in fields.items()}
        return {name: (ours[name], theirs[name]) for name in ours if name not in NEUTRAL and ours[name] != theirs[name]}

    def hash(self) -> str:
        """Returns 16 hex digits that are equal exactly when no field that changes the numbers differs."""
        flat = {name: item for fields in self.to_json().values() for name, item in fields.items()}
        return hash_of({name: item for name, item in flat.items() if name not in NEUTRAL})[:16]


def _resolved(settings: Settings) -> Settings:
    """Returns a copy in which every None has become the value that suits data set, captioner and encoder."""
    defaults = _FOR_SCENES if settings.data.dataset == "scenes" else _FOR_PHOTOGRAPHS
    flat = {name: value for group in defaults.values() for name, value in group.items()}
    flat["encoder"] = _own_encoder(settings) or flat["encoder"]
    if settings.model.model == "vit_llama" and flat["shape"] == "base":
        flat["shape"] = "1b"
    settings = settings.replace(**{name: value for name, value in flat.items() if settings.get(name) is None})
    small = settings.model.encoder == "small_resnet"
    weights = settings.model.encoder_weights or _own_weights(settings) or ("none" if small else "imagenet")
    frozen = weights != "none" if settings.model.train is None else settings.model.train not in _ENCODER_TRAINS
    encoder = {"encoder_weights": weights, "image_size": 64 if small else 224, "freeze_encoder": frozen}
    settings = settings.replace(**{name: value for name, value in encoder.items() if settings.get(name) is None})
    if settings.model.train is None:
        settings = settings.replace(train="decoder" if settings.model.freeze_encoder else "all")
    if settings.model.image_dropout is None:
        settings = settings.replace(image_dropout=settings.model.dropout)
    if settings.model.tie_embeddings is None:
        same = settings.model.embedding_size == settings.model.units
        settings = settings.replace(tie_embeddings=same and settings.data.dataset != "scenes")
    if settings.selection.proxy is None:
        settings = settings.replace(proxy=settings.model.model)
    if settings.data.augment is None:  # a cached feature has one view of its image
        settings = settings.replace(augment="none" if settings.model.freeze_encoder else "crop")
    _check_together(settings)
    name = [settings.data.dataset, settings.model.model, settings.selection.selector]
    name += [f"{settings.selection.fraction:g}", f"s{settings.run.seed}"]
    run_dir = settings.run.run_dir or f"runs/{'-'.join(name)}"
    return settings.replace(run_dir=run_dir)


def _own_encoder(settings: Settings) -> str | None:
    """Returns the encoder that the captioner has by itself, if it has one."""
    name, on_photographs = settings.model.model, settings.data.dataset != "scenes"
    if settings.model.checkpoint and name in _IN_CHECKPOINT:
        return _IN_CHECKPOINT[name]
    return OWN_ENCODER.get(name) or (_ON_PHOTOGRAPHS.get(name) if on_photographs else None)


def _own_weights(settings: Settings) -> str:
    """Returns the captioner's checkpoint, if that holds the encoder too and no other is named."""
    of_checkpoint = _IN_CHECKPOINT.get(settings.model.model)
    return settings.model.checkpoint if of_checkpoint and settings.model.encoder in (None, of_checkpoint) else ""


def _check_together(settings: Settings) -> None:
    """Raises InputError for fields that are right alone and wrong together."""
    if settings.model.freeze_encoder != (settings.model.train not in _ENCODER_TRAINS):
        raise InputError(
            "--train and --freeze_encoder disagree about the encoder",
            received=f"--train={settings.model.train} --{'' if settings.model.freeze_encoder else 'no'}freeze_encoder",
            expected="one of the two",
        )
    if settings.model.train not in ("all", "decoder") and not settings.model.checkpoint:
        raise InputError(
            f"--train={settings.model.train} would keep a random decoder",
            expected="--checkpoint=FOLDER, or --train=all or decoder",
        )
    if settings.model.freeze_encoder and settings.model.encoder_weights == "none":
        raise InputError(
            "--freeze_encoder with --encoder_weights=none would keep a random encoder",
            expected="weights for the encoder, or --nofreeze_encoder",
        )
    if settings.model.freeze_encoder and settings.data.augment != "none":
        raise InputError(
            "A frozen encoder reads each image once into the feature cache and cannot be augmented",
            received=f"--augment={settings.data.augment}",
            expected="--augment=none, or --nofreeze_encoder",
        )
    if settings.model.tie_embeddings and settings.model.embedding_size != settings.model.units:
        raise InputError(
            "--tie_embeddings needs word vectors as wide as the LSTM",
            received=f"--embedding_size={settings.model.embedding_size} --units={settings.model.units}",
            expected="two equal widths, or --notie_embeddings",
        )
    proxy, encoder = settings.selection.proxy, settings.model.encoder
    if proxy != settings.model.model and OWN_ENCODER.get(proxy, encoder) != encoder:
        raise InputError(
            f"The proxy {proxy} would see through {encoder}: a proxy shares the experiment's encoder",
            received=f"--proxy={proxy} --model={settings.model.model} --encoder={encoder}",
            expected=f"--encoder={OWN_ENCODER[proxy]}, or another proxy",
        )
    if settings.evaluation.temperature and settings.evaluation.beams > 1:
        raise InputError(
            "Captions are drawn one by one, without beams",
            received=f"--temperature={settings.evaluation.temperature:g} --beams={settings.evaluation.beams}",
            expected="--beams=1, or --temperature=0",
        )
    if settings.evaluation.top_p < 1 and not settings.evaluation.temperature:
        raise InputError(
            "--top_p says from which words captions are drawn, and none is drawn",
            received=f"--top_p={settings.evaluation.top_p:g} --temperature=0",
            expected="--temperature above 0 and --beams=1",
        )
    settings.selection.epochs_named()
    if settings.data.coco_split == "karpathy" and not settings.data.karpathy_json:
        raise InputError("--coco_split=karpathy needs the split file", expected="--karpathy_json=dataset_coco.json")
