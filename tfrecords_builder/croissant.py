"""A built data set in Croissant 1.0: its files with their hashes, its splits, and what a record holds.

Akhtar et al., "Croissant: A Metadata Format for ML-Ready Datasets", arXiv:2403.19546 (2024);
http://mlcommons.org/croissant/1.0. The format has no word for TFRecords: programs which read Croissant find and check
the files, and read the table of the splits and that of a record's keys, but no records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfrecords_builder.licences import Licence

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
ENCODING = "application/x-tfrecord"
# The prefixes and terms of the specification, without which a program reads its keys as other words.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *(
                "citeAs",
                "column",
                "equivalentProperty",
                "extract",
                "field",
                "fileObject",
                "fileProperty",
                "fileSet",
                "format",
                "includes",
            ),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
            *("repeated", "replace", "separator", "samplingRate", "source", "subField", "transform"),
        )
    },
}
_SPLITS = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}
_FIELDS = {
    "image": ("sc:ImageObject", "The encoded JPEG or PNG."),
    "image/id": ("sc:Integer", "Unique in the data set, over all splits."),
    "image/filename": ("sc:Text", "As the source names it."),
    "image/height": ("sc:Integer", "Of the stored image in pixels, before any EXIF rotation."),
    "image/width": ("sc:Integer", "Likewise."),
    "captions/text": ("sc:Text", "UTF-8 in form NFC with single spaces; one or more an image."),
    "captions/id": ("sc:Integer", "One a caption."),
}
_OF_TRUTH = ("sc:Integer", "What the data set knows of the image; see its description.")
_SEVERAL = ("captions/text", "captions/id")
_HOW_TO_READ = (
    "Records are TFRecords of serialised tf.train.Example, which Croissant cannot read; TensorFlow Datasets does:"
    " tfds.builder_from_directory(FOLDER).as_dataset(split)."
)


def croissant(
    manifest: Mapping[str, Any],
    description: str,
    licence: Licence,
    citation: str,
    homepage: str,
    extras: Sequence[str],
) -> dict[str, Any]:
    """Returns the JSON-LD of a built data set, whose files lie beside it.

    Args:
      manifest: of the data set, `tfcap.json`.
      extras: keys of its records beside those that every data set has.
    """
    about = {
        "name": f"{manifest['dataset']}-{manifest['config']}",
        "description": f"{description}\n\n{_HOW_TO_READ}",
        "conformsTo": CONFORMS_TO,
        "version": manifest["version"],
        "license": licence.one,
        "citeAs": citation,
        "url": homepage,
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        **{name: value for name, value in about.items() if value},
        "distribution": [file for split, found in manifest["splits"].items() for file in _files(split, found)],
        "recordSet": [_splits(manifest["splits"]), _keys(extras)],
    }


def fields_of(extras: Sequence[str]) -> list[tuple[str, str]]:
    """Returns the keys of a record, each with what it is in words."""
    return [(key, words) for key, (_, words) in {**_FIELDS, **dict.fromkeys(extras, _OF_TRUTH)}.items()]


def _files(split: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a split's shards, and the set of them."""
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": shard["file"],
            "name": shard["file"],
            "description": f"{shard['records']} records of {split}.",
            "contentUrl": shard["file"],
            "contentSize": f"{shard['bytes']} B",
            "encodingFormat": ENCODING,
            "sha256": shard["sha256"],
        }
        for shard in found["shards"]
    ]
    whole = {
        "@type": "cr:FileSet",
        "@id": f"{split}-shards",
        "name": f"{split}-shards",
        "encodingFormat": ENCODING,
        "includes": f"*-{split}.tfrecord-*",
    }
    return [*shards, whole]


def _splits(splits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table of the splits, with how many images each has and its fingerprint."""
    columns = {"name": "sc:Text", "url": "sc:URL", "images": "sc:Integer", "fingerprint": "sc:Text"}
    rows = [
        (split, _SPLITS.get(split, "cr:Split").replace("cr:", _CONTEXT["cr"]), found["records"], found["fingerprint"])
        for split, found in splits.items()
    ]
    words = "The splits; a fingerprint covers ids, images and captions in their order."
    return {**_table("splits", words, columns, rows), "dataType": "cr:Split"}


def _keys(extras: Sequence[str]) -> dict[str, Any]:
    """Returns the table of the keys that each record has."""
    columns = {"name": "sc:Text", "type": "sc:URL", "repeated": "sc:Boolean", "description": "sc:Text"}
    known = {**_FIELDS, **dict.fromkeys(extras, _OF_TRUTH)}
    rows = [(key, kind.replace("sc:", _CONTEXT["sc"]), key in _SEVERAL, words) for key, (kind, words) in known.items()]
    words = f"The keys of each record, which holds an image and its captions. {_HOW_TO_READ}"
    return _table("keys", words, columns, rows)


def _table(
    name: str, description: str, columns: Mapping[str, str], rows: Sequence[Sequence[str | int]]
) -> dict[str, Any]:
    """Returns a record set whose records stand in the file itself; its key is the column `name`."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": kind}
            for column, kind in columns.items()
        ],
        "data": [{f"{name}/{column}": value for column, value in zip(columns, row, strict=True)} for row in rows],
    }
