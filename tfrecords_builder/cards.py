"""What a built data set says of itself: README.md in the form of Hugging Face's data sets, and croissant.json."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfcap
from tfcap.files import remove_partials, write_json, write_text
from tfcap.registry import OF_CLASSES
from tfcap.reporting.cards import card, command
from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.croissant import croissant, fields_of

CARD, CROISSANT = "README.md", "croissant.json"
# The bounds of Hugging Face's `size_categories`, in images of all splits.
_SIZES = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6, "1M<n<10M": 10**7}
# What the manifest counts and quarantine.jsonl does not name, in words.
_ONLY_COUNTED = {
    "images_in_no_split": "images in no split list, left out",
    "images_without_caption": "images without a caption, left out",
    "reencoded": "images that TensorFlow could not decode as they were, and that were encoded again",
}


def missing(folder: Path) -> list[str]:
    """Returns which of the two files a built data set lacks."""
    return [name for name in (CARD, CROISSANT) if not (folder / name).exists()]


def write_missing(folder: Path, manifest: Mapping[str, Any], builder: type[CaptionsBuilder]) -> None:
    """Writes the card and the Croissant file of a built data set, each if it is not there; one process at a time.

    Both are made before either is written, and what a killed process left is deleted. A folder of an earlier version
    gets them; one that was edited is left alone.

    Raises:
      OSError: the folder cannot be written to.
    """
    lacking = missing(folder)
    described = croissant(
        manifest, _description(builder), builder.LICENCE, builder.CITATION, builder.HOMEPAGE, builder.extra_features()
    )
    words = data_card(manifest, builder)
    remove_partials(folder)
    if CROISSANT in lacking:
        write_json(folder / CROISSANT, described)
    if CARD in lacking:
        write_text(folder / CARD, words)


def data_card(manifest: Mapping[str, Any], builder: type[CaptionsBuilder]) -> str:
    """Returns the card of a built data set.

    Args:
      manifest: of the data set, `tfcap.json`; one from before captions were counted has none.
    """
    splits, of_classes = manifest["splits"], manifest["dataset"] in OF_CLASSES
    images = sum(found["records"] for found in splits.values())
    header = {
        "pretty_name": manifest["dataset"],
        **builder.LICENCE.header,
        "language": [builder.LANGUAGE],
        "task_categories": ["image-classification" if of_classes else "image-to-text"],
        "size_categories": [next((name for name, bound in _SIZES.items() if images < bound), "n>10M")],
        "tags": ["image-classification" if of_classes else "image-captioning", "tfrecord", "croissant", "tfcap"],
    }
    asked = _asked(manifest)
    facts = {
        "title": f"{manifest['dataset']}, {manifest['config']}, version {manifest['version']}",
        "description": _description(builder),
        "configuration": builder.config_description(dataclasses.replace(DataSettings(), **asked)),
        "source": _source_in_words(manifest.get("source", "")),
        "splits": [_row(split, found) for split, found in splits.items()],
        "fields": fields_of(builder.extra_features()),
        "counts": [(_counted(name), count) for name, count in manifest["counts"].items()],
        "named": [_counted(name) for name in manifest["counts"] if name not in _ONLY_COUNTED],
        "resized": _resized(asked.get("resize_shorter_side", 0)),
        "licence": builder.LICENCE,
        "command": _command(asked, manifest),
        "citation": builder.CITATION,
        "homepage": builder.HOMEPAGE,
        "version": tfcap.__version__,
    }
    return card("data_card.md", header, facts)


def _description(builder: type[CaptionsBuilder]) -> str:
    """Returns what the class says of the data set."""
    return inspect.cleandoc(builder.__doc__ or builder.name)


def _counted(name: str) -> str:
    return _ONLY_COUNTED.get(name, name.replace("_", " "))


def _asked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that the data set was built with, where they are not what they are by themselves.

    One that this version does not know is left out.
    """
    usual, built = dataclasses.asdict(DataSettings()), manifest["options"]
    return {name: built[name] for name in built if name in usual and (built[name] != usual[name] or name == "dataset")}


def _source_in_words(source: str) -> str:
    """Returns where the pictures came from, without the machine's own folders."""
    if not source:
        return "no other source"
    if _is_address(source):
        return f"<{source}>"
    return f"the {'file' if Path(source).is_file() else 'folder'} `{Path(source).name}`"


def _row(split: str, found: Mapping[str, Any]) -> tuple[Any, ...]:
    megabytes = sum(shard["bytes"] for shard in found["shards"]) / 1e6
    captions = found.get("captions", "not counted")
    return split, found["records"], captions, f"{megabytes:,.1f}", len(found["shards"]), found["fingerprint"][:16]


def _resized(shorter_side: int) -> str:
    return (
        f"Pictures whose shorter side is longer than {shorter_side} pixels were resized to it." if shorter_side else ""
    )


def _command(asked: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    words = [f"--{name}={value}" for name, value in asked.items()]
    for flag in ("source", "karpathy_json"):
        where = manifest.get(flag, "")
        if where and not _is_address(where):
            words.append(f"--{flag}={Path(where).name}")
    return command(["python", "-m", "tfrecords_builder", *words, "--data_dir=data"])


def _is_address(source: str) -> bool:
    return re.match(r"https?://", source) is not None
