"""The card of a trained or evaluated captioner or classifier: model_card.md, with Hugging Face's header, of its folder.

Every number is one that metrics.json, history.json or experiment.json holds; nothing is measured here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tfcap
from tfcap import registry
from tfcap.errors import InputError
from tfcap.evaluation.costs import PLATEAU_RISE, late_rise
from tfcap.files import read_json, write_text
from tfcap.reporting.cards import card, command
from tfcap.reporting.quality import ACCURACY, CIDER, QUALITIES, Quality
from tfcap.run_folder import CARD, EVALUATION, description_of
from tfcap.settings import DECODING, NEUTRAL, ModelSettings, Settings, TrainingSettings

# What Hugging Face calls our metrics.
_METRICS = {"BLEU": "bleu", "METEOR": "meteor", "ROUGE": "rouge", "CIDEr": "cider", "accuracy": "accuracy"}
_OF_MODEL = ("shape", "mapper", "units", "embedding_size", "dropout", "image_size", "max_tokens", "augment")
_OF_TRAINING = ("batch_size", "learning_rate", "weight_decay", "label_smoothing", "mixed_precision")
# Of the captioner and its training the card says these always; the others where they have a value of their own.
_SAID = (
    *("model", "encoder", "encoder_weights", "freeze_encoder", "train", "checkpoint", "tokenizer", "epochs"),
    *_OF_MODEL,
    *_OF_TRAINING,
)
_OF_CAPTIONS = ("dropout", "image_dropout", "max_tokens", "tokenizer")  # have no effect on a classifier
_OF_TEACHER = ("knowledge_distillation", "kd_alpha", "kd_temperature")  # said in one row
_TASKS = {CIDER: ("image-to-text", "Image captioning"), ACCURACY: ("image-classification", "Image classification")}
_TAGS = {CIDER: "image-captioning", ACCURACY: "image-classification"}
_PLACES = ("run_dir", "scoring_dir", "data_dir", "resume", "progress")  # not a part of the command to repeat
# Flags that name a file or a folder, of which the command to repeat says the name alone.
_FILES = ("source", "karpathy_json", "encoder_weights", "checkpoint", "tokenizer", "teacher", "dual_encoder")
_HUBS = ("hf://", "kaggle://")


def write_of_run(run: Path) -> None:
    """Writes the card of a finished run, unless there is one: a run of an earlier version gets it, an edited one stays.

    Raises:
      InputError: the run's files do not describe a finished run of this version.
    """
    if not (run / CARD).exists():
        write_text(run / CARD, card_of_run(run))


def write_of_evaluation(folder: Path, said: Mapping[str, Any]) -> None:
    """Writes the card of a finished direct evaluation, unless there is one.

    Args:
      said: flags by name, those of the command.
    """
    if not (folder / CARD).exists():
        write_text(folder / CARD, card_of_evaluation(folder, said))


def card_of_run(run: Path, written: Mapping[str, Any] | None = None) -> str:
    """Returns the card of a finished run.

    Args:
      written: what `tfcap.convert` says of the folder in the form of Hugging Face that the card is for; by itself it
        is for the run's own folder.
    """
    settings, fingerprints = description_of(run)
    described, metrics = read_json(run / "experiment.json"), read_json(run / "metrics.json")
    history = read_json(run / "history.json")
    choices = settings.by_name()
    quality = QUALITIES[settings.quality]
    header, facts = _common(run.resolve().name, choices, described, metrics, "test", quality)
    name = f"{choices['selector']}-{choices['fraction']:g}"
    mask = run / "masks" / f"{name}.json"
    left_out = (written or {}).get("left_out")
    header |= {
        "library_name": "transformers" if written else "tfcap",
        "pipeline_tag": "text-generation" if left_out else _TASKS[quality][0],
        "base_model": _base_models(choices),
    }
    if left_out:
        del header["model-index"]  # what was measured is more than what is here
    facts |= {
        "trained": True,
        "of_training": list(_of_training(choices, metrics, history, quality)),
        "of_selection": list(_of_selection(choices, metrics, read_json(mask) if mask.exists() else {})),
        "fingerprints": {split: digest[:16] for split, digest in fingerprints.items()},
        "limits": list(_limits(choices, described, metrics, history, quality)),
        "command": command(["python", "-m", "tfcap.main", *_words_to_repeat(settings)]),
        "written": written or {},
    }
    return card("model_card.md", header, facts)


def card_of_evaluation(folder: Path, said: Mapping[str, Any]) -> str:
    """Returns the card of a finished direct evaluation; see `write_of_evaluation`."""
    described, metrics = read_json(folder / EVALUATION), read_json(folder / "metrics.json")
    choices = {**described["settings"], "fraction": 1.0}
    split = choices["split"]
    words = [_word(name, value) for name, value in said.items() if name not in (*_PLACES, "out")]
    header, facts = _common(folder.resolve().name, choices, described, metrics, split, CIDER)
    header |= {
        "library_name": "tfcap",
        "pipeline_tag": _TASKS[CIDER][0],
        "base_model": _base_models(choices),
    }
    facts |= {
        "trained": False,
        "of_training": [],
        "of_selection": [],
        "fingerprints": {split: described["data"]["fingerprint"][:16]},
        "limits": list(_limits_of_measuring(choices, described, metrics)),
        "command": command(["python", "-m", "tfcap.evaluate", *words, "--out=OUT"]),
        "written": {},
    }
    return card("model_card.md", header, facts)


def _common(
    name: str,
    choices: Mapping[str, Any],
    described: Mapping[str, Any],
    metrics: Mapping[str, Any],
    split: str,
    quality: Quality,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what every card says: of its header, and of its facts.

    The header has no `license`, which would be that of the weights: what is known is the data's, one of the facts.
    """
    builder, measured = registry.DATASETS[choices["dataset"]], _measured(metrics)
    built = described.get("data_set", {})  # earlier versions did not record it
    kinds = list(dict.fromkeys(_kind(metric) for metric in measured))
    tags = [_TAGS[quality], "tfcap", choices["model"], choices.get("selector")]
    header = {
        "language": [builder.LANGUAGE] if quality == CIDER else None,
        "tags": [tag for tag in tags if tag],
        "datasets": [choices["dataset"]],
        "metrics": kinds,
        "model-index": [{"name": name, "results": [_results(choices, built, measured, split, quality)]}],
    }
    facts = {
        "name": name,
        "model": choices["model"],
        "quality": quality,
        "encoder": choices.get("encoder"),
        "dataset": choices["dataset"],
        "built": built,
        "options": {option: choices[option] for option in builder.OPTIONS if option in choices},
        "limit": choices["limit"],
        "split": split,
        "examples": {key: metrics.get(f"examples_{key}") for key in ("kept", "total")},
        "level": metrics.get("level", "image"),
        "metrics": measured,
        "per_class": metrics.get("per_class", {}),
        "decoding": {key: choices[key] for key in DECODING if key in choices},
        "resamples": choices["bootstrap_resamples"],
        "tokenizer": metrics.get("tokenizer", "not recorded"),
        "costs": list(_costs(metrics)),
        "licence": builder.LICENCE,
        "citation": builder.CITATION,
        "homepage": builder.HOMEPAGE,
        "started": described.get("started", "not recorded"),
        "commit": described.get("git_commit") or "not recorded",
        "versions": described.get("versions", {}),
        "version": tfcap.__version__,
    }
    return header, facts


def _kind(metric: str) -> str:
    return _METRICS[metric.split("-")[0]]


def _measured(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the metrics that have a value."""
    return {name: dict(value) for name, value in metrics.items() if isinstance(value, Mapping) and "value" in value}


def _results(
    choices: Mapping[str, Any], built: Mapping[str, str], measured: Mapping[str, Any], split: str, quality: Quality
) -> dict[str, Any]:
    """Returns what was measured in the form of a model-index; values are as in metrics.json, most of them of 1."""
    config = {"config": built["config"]} if built else {}
    kind, name = _TASKS[quality]
    return {
        "task": {"type": kind, "name": name},
        "dataset": {"type": choices["dataset"], "name": choices["dataset"], **config, "split": split},
        "metrics": [
            {
                "type": _kind(name),
                "name": name,
                "value": value["value"],
                "args": {"interval_95": [value.get("low"), value.get("high")]},
            }
            for name, value in measured.items()
        ],
    }


def _of_training(
    choices: Mapping[str, Any], metrics: Mapping[str, Any], history: Mapping[str, Any], quality: Quality
) -> Iterator[tuple[str, Any]]:
    """Yields what was trained and how, as far as it applies."""
    weights, idle = choices["encoder_weights"], _OF_CAPTIONS if quality == ACCURACY else ()
    if quality == CIDER:
        yield quality.model, choices["model"]
    started = "at random" if weights == "none" else f"from {_short('encoder_weights', weights)}"
    yield "image encoder", f"{choices['encoder']}, {started}{', frozen' if choices['freeze_encoder'] else ''}"
    yield "what trains", choices["train"]
    for name in ("checkpoint", "tokenizer"):
        if choices[name]:
            yield name, _short(name, choices[name])
    if metrics.get("parameters"):
        yield "weights", metrics["parameters"]
        yield "weights that train", metrics["parameters_trained"]
    for name in _OF_MODEL:
        if choices[name] is not None and name not in idle:
            yield name.replace("_", " "), choices[name]
    yield "epochs", len(history["loss"])
    yield "steps", history.get("steps", "not recorded")
    for name in _OF_TRAINING:
        yield name.replace("_", " "), choices[name]
    if choices["knowledge_distillation"]:
        yield "knowledge distillation", _of_teacher(choices)
    said = {*_SAID, *NEUTRAL, *_OF_TEACHER, *idle}
    for field in (*dataclasses.fields(ModelSettings), *dataclasses.fields(TrainingSettings)):
        if field.name not in said and choices[field.name] not in (None, field.default):
            yield field.name.replace("_", " "), choices[field.name]
    yield "seed", choices["seed"]


def _of_teacher(choices: Mapping[str, Any]) -> str:
    """Returns from whom a student learns, and how much of its loss is the teacher's."""
    teacher = _short("teacher", choices["teacher"]) or f"a {choices['proxy']} trained on all of the train split"
    alpha, temperature = choices["kd_alpha"], choices["kd_temperature"]
    return f"from {teacher}: {1 - alpha:g} of the loss (alpha {alpha:g}), at temperature {temperature:g}"


def _of_selection(
    choices: Mapping[str, Any], metrics: Mapping[str, Any], mask: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yields how the kept part was chosen."""
    yield "selector", choices["selector"]
    yield "fraction", choices["fraction"]
    yield "level", choices["level"]
    if choices["class_balanced"]:
        yield "of every class", "the same part"
    if mask.get("score"):
        yield "by the score", mask["score"]
    if (metrics.get("scoring_seconds") or 0) > mask.get("seconds", 0):  # more than the choice itself
        yield "scores of", _short("teacher", choices["teacher"]) or choices["proxy"]
    if metrics.get("noise_rate_kept") is not None:
        yield "wrong captions among the kept", f"{100 * metrics['noise_rate_kept']:.1f} %"
        yield "wrong captions in all of train", f"{100 * metrics['noise_rate']:.1f} %"


def _limits(
    choices: Mapping[str, Any],
    described: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Mapping[str, Any],
    quality: Quality,
) -> Iterator[str]:
    """Yields what this run cannot say, each as a sentence."""
    yield (
        f"One training with one seed ({choices['seed']}): the intervals are over test images alone, and another seed "
        "gives other values."
    )
    rise = late_rise(history.get(f"val_{quality.name}", []))
    if rise is None:
        yield "Whether training was near its plateau is not known: it was validated too seldom to tell."
    elif rise > PLATEAU_RISE:
        rose = f"validation {quality.name} rose by {100 * rise:.0f} % in its last third"
        yield f"Training was not near its plateau: {rose}."
    if choices["fraction"] < 1 and not choices["budget_steps"]:
        yield "A part of the data also had fewer steps than all of it would have had in as many epochs."
    if metrics.get("noise_rate_kept"):
        yield f"Of what it was trained on, {100 * metrics['noise_rate_kept']:.1f} % has captions of another image."
    yield from _limits_of_measuring(choices, described, metrics)


def _limits_of_measuring(
    choices: Mapping[str, Any], described: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Iterator[str]:
    yield f"Measured on one split of `{choices['dataset']}` alone; how it does on other pictures is not known."
    if choices["limit"]:
        yield f"Only the first {choices['limit']:,} images of each split were used."
    for name in metrics:
        if f"{name}_missing" in metrics:
            yield f"{name} was not measured. {metrics[f'{name}_missing']}"
    if registry.DATASETS[choices["dataset"]].LICENCE.identifier == "unknown":
        yield "The licence of the data is not known."
    if not described.get("git_commit"):
        yield "The commit of the code was not recorded."


def _costs(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {
        "train_seconds": "training, seconds",
        "scoring_seconds": "scoring and choice, seconds",
        "teacher_seconds": "the teacher's training, seconds",
        "features_seconds": "features, seconds",
        "images_per_second": "images a second",
        "steps_per_second": "steps a second",
    }
    for name, words in names.items():
        if metrics.get(name) is not None:
            yield words, f"{metrics[name]:,.1f}"


def _words_to_repeat(settings: Settings) -> list[str]:
    """Returns the flags that lead to these settings and no others, as few as will do."""
    usual, wanted = Settings(), settings.by_name()
    said = {name: value for name, value in wanted.items() if name not in _PLACES and value != usual.get(name)}
    for name in list(said):
        fewer = {other: value for other, value in said.items() if other != name}
        if name not in NEUTRAL and _leads_to(usual, fewer, settings):
            said = fewer
    return [_word(name, value) for name, value in said.items()]


def _leads_to(usual: Settings, said: Mapping[str, Any], settings: Settings) -> bool:
    try:
        return usual.replace(**said).resolve().hash() == settings.hash()
    except InputError:  # these are not enough
        return False


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    return f"--{name}={_short(name, value)}"


def _short(name: str, value: Any) -> Any:
    """Returns a flag's value without the machine's own folders."""
    if name not in _FILES or not isinstance(value, str) or value.startswith(_HUBS):
        return value
    return Path(value).name


def _base_models(choices: Mapping[str, Any]) -> str | list[str]:
    """Returns what Hugging Face's hub calls the pretrained parts that are from there: the captioner, the encoder."""
    named = [str(choices.get(flag) or "") for flag in ("checkpoint", "encoder_weights")]
    found = [name.removeprefix("hf://").split("@")[0] for name in named if name.startswith("hf://")]
    several = list(dict.fromkeys(found))
    return several[0] if len(several) == 1 else several
