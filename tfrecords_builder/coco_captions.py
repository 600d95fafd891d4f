"""COCO 2017: 123,287 photographs with five captions each, and folders in COCO's layout.

Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", arXiv:1504.00325 (2015).
Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.files import file_hash
from tfcap.settings import DataSettings
from tfrecords_builder.archives import Archive, Folder, Zips, download
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.karpathy import read_karpathy
from tfrecords_builder.licences import Licence
from tfrecords_builder.sources import absolute, random_splits

COCO_URL = os.environ.get("TFCAP_COCO_URL", "http://images.cocodataset.org").rstrip("/")
# COCO publishes no checksums, so none are expected; the manifest records what arrived.
ARCHIVES = {
    "annotations": Archive(f"{COCO_URL}/annotations/annotations_trainval2017.zip"),
    "val2017": Archive(f"{COCO_URL}/zips/val2017.zip"),
    "train2017": Archive(f"{COCO_URL}/zips/train2017.zip"),
}
_NEEDED = {
    "official": ("annotations", "val2017", "train2017"),
    "val2017": ("annotations", "val2017"),
    "karpathy": ("val2017", "train2017"),
}


class _Photograph(NamedTuple):
    """An image of COCO, not read yet; `paths` are tried in order."""

    image_id: int
    paths: tuple[str, ...]
    captions: Sequence[str]
    caption_ids: Sequence[int]


class CocoCaptions(CaptionsBuilder):
    """Photographs of everyday scenes with five captions each.

    The captions of COCO's own test images are not public. So `official` takes train2017 as train, and halves
    val2017, in the order of the image ids, into validation and test. `karpathy` is the split of most published
    numbers (113,287 train, of which 30,504 are "restval", 5,000 validation and 5,000 test images). `val2017`
    splits the 5,000 images of val2017 alone 0.8/0.1/0.1 by seed 0. Images without a caption are left out.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    HOMEPAGE = "https://cocodataset.org"
    CITATION = (
        "@article{chen2015microsoft, title={Microsoft {COCO} Captions: Data Collection and Evaluation Server},"
        " author={Chen, Xinlei and Fang, Hao and Lin, Tsung-Yi and Vedantam, Ramakrishna and Gupta, Saurabh and"
        " Doll{\\'a}r, Piotr and Zitnick, C. Lawrence}, journal={arXiv:1504.00325}, year={2015}}"
    )
    LICENCE = Licence(
        "The captions are under CC BY 4.0. The photographs belong to those who put them on Flickr, each under a licence"
        " of its own, which COCO's annotation files name.",
        identifier="other",
        name="coco-terms-of-use",
        url="https://cocodataset.org/#termsofuse",
    )
    SOURCE_LAYOUT = "a folder with annotations/captions_{train,val}2017.json, train2017/ and val2017/"
    OPTIONS = ("coco_split",)

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        return data.coco_split

    @classmethod
    def check_source(cls, data: DataSettings) -> None:
        if data.source:  # without one, the official archives are downloaded
            super().check_source(data)

    @classmethod
    def origin(cls, data: DataSettings) -> dict[str, str]:
        if data.coco_split != "karpathy":
            return super().origin(data)
        return {**super().origin(data), "karpathy_json": absolute(data.karpathy_json)}

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        if data.coco_split == "karpathy" and not Path(data.karpathy_json).expanduser().is_file():
            problem = "--coco_split=karpathy needs the split file"
            raise InputError(problem, received=data.karpathy_json, expected="--karpathy_json=dataset_coco.json")
        files = Folder(Path(data.source).expanduser()) if data.source else self._downloaded(data)
        if data.coco_split == "karpathy":
            splits = self._karpathy(data)
        elif data.coco_split == "val2017":
            splits = random_splits(self._photographs(files, "val2017"))
        else:
            held_out = self._photographs(files, "val2017")
            half = (len(held_out) + 1) // 2
            train = self._photographs(files, "train2017")
            splits = {"train": train, "validation": held_out[:half], "test": held_out[half:]}
        self.totals = {split: len(members) for split, members in splits.items()}
        return {split: _read(files, members) for split, members in splits.items()}

    def _downloaded(self, data: DataSettings) -> Zips:
        needed = [ARCHIVES[name] for name in _NEEDED[data.coco_split]]
        paths, self.notes["archives"] = download(self.dl_manager, needed, self.progress)
        self.notes["source"] = COCO_URL
        return Zips(paths)

    def _photographs(self, files: Folder | Zips, folder: str) -> list[_Photograph]:
        """Returns the images of `folder` that have captions, by id; counts those that have none."""
        coco = _annotations(files, f"annotations/captions_{folder}.json", self.SOURCE_LAYOUT)
        photographs = []
        for image_id in sorted(coco.imgs):
            annotations = sorted(coco.imgToAnns.get(image_id, []), key=lambda annotation: annotation["id"])
            if not annotations:
                self.counts["images_without_caption"] += 1
                continue
            captions = [annotation["caption"] for annotation in annotations]
            path = f"{folder}/{coco.imgs[image_id]['file_name']}"
            photographs.append(_Photograph(image_id, (path,), captions, [a["id"] for a in annotations]))
        listed = {image["file_name"] for image in coco.imgs.values()}
        self.counts["images_without_caption"] += len(set(files.names(folder)) - listed)
        return photographs

    def _karpathy(self, data: DataSettings) -> dict[str, list[_Photograph]]:
        path = Path(data.karpathy_json).expanduser()
        self.notes["karpathy_json_sha256"] = file_hash(path)
        fields = "filename, filepath, cocoid, split and sentences"
        splits = read_karpathy(path, _karpathy_photograph, "dataset_coco.json", fields)
        for split, members in splits.items():
            with_captions = [photograph for photograph in members if photograph.captions]
            self.counts["images_without_caption"] += len(members) - len(with_captions)
            splits[split] = sorted(with_captions, key=lambda photograph: photograph.image_id)
        return splits


def _karpathy_photograph(image: Mapping[str, Any]) -> _Photograph:
    """Returns an image of dataset_coco.json; it names the files of 2014, which 2017 renamed and regrouped."""
    name = f"{image['cocoid']:012d}.jpg"
    paths = (f"{image.get('filepath', '')}/{image['filename']}".lstrip("/"), f"train2017/{name}", f"val2017/{name}")
    sentences = image["sentences"]
    return _Photograph(image["cocoid"], paths, [s["raw"] for s in sentences], [s["sentid"] for s in sentences])


def _annotations(files: Folder | Zips, path: str, layout: str) -> Any:
    """Returns the pycocotools index of a captions file."""
    from pycocotools.coco import COCO

    encoded = files.read(path)
    if encoded is None:
        raise InputError(f"The source has no {path}", expected=layout)
    coco = COCO()
    try:
        coco.dataset = json.loads(encoded)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how it is getting on
            coco.createIndex()
        if "annotations" not in coco.dataset or "images" not in coco.dataset:
            raise KeyError("images or annotations")
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{path} is not a COCO captions file ({type(error).__name__}: {error})"
        raise InputError(problem, expected=layout) from None
    return coco


def _read(files: Folder | Zips, photographs: Iterable[_Photograph]) -> Iterator[Example]:
    for photograph in photographs:
        found = ((path, files.read(path)) for path in photograph.paths)
        path, image = next(((p, i) for p, i in found if i is not None), (photograph.paths[0], None))
        yield Example(photograph.image_id, path, image, photograph.captions, photograph.caption_ids)
