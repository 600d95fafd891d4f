"""Pictures of the test split with what each method says of them, for a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.report.data import Found
from tfcap.reporting.page import Picture, Said, Samples
from tfcap.reporting.quality import CIDER
from tfcap.run_folder import EVALUATION, description_of
from tfcap.scored_run import index_of

_SIDE = 224  # pixels of a thumbnail's longer side
_QUALITY = 82  # of its JPEG
_PICTURES_GONE = "The pictures and the human captions are not shown: "
_CLASSES_GONE = "The pictures and their classes are not shown: "


def samples_of(found: Found, count: int, data_dir: str) -> Samples | None:
    """Returns `count` pictures spread evenly over the test split, whatever their scores, with what every method says.

    Captions or classes are those of its first seed. Where the data set is gone, pictures and human captions are left
    out, and the note says why. None where no run folder has captions.

    Args:
      data_dir: where the data set is; "" for where it was.
    """
    said = _said(found)
    if not said or not count:
        return None
    images = sorted(set.intersection(*(set(captions) for *_, captions in said)))
    if not images:
        return Samples("The runs have no test image in common.", [], found.quality)
    chosen = [images[place] for place in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int))]
    note = ""
    pictures: dict[int, str] = {}
    references: dict[int, list[str]] = {}
    try:
        pictures, references = _of_data(found, chosen, data_dir)
    except InputError as error:
        note = f"{_PICTURES_GONE if found.quality == CIDER else _CLASSES_GONE}{error}"
    return Samples(
        note,
        [
            Picture(
                image,
                pictures.get(image, ""),
                references.get(image, []),
                [Said(method, fraction, *captions[image]) for method, fraction, captions in said],
            )
            for image in chosen
        ],
        found.quality,
    )


def _said(found: Found) -> list[tuple[str, float, dict[int, tuple[str, float]]]]:
    """Returns (method, fraction, {image id: (caption, score)}) of the first seed of each."""
    rows = []
    for method, by_fraction in found.cells_of.items():
        for fraction, names in sorted(by_fraction.items()):
            folder = found.part.runs.get(names[0])
            if folder is None or not (folder / "captions.json").is_file():
                continue
            texts, values = read_json(folder / "captions.json"), read_json(folder / "per_image.json")
            scores = dict(zip(values["image_id"], values[found.quality.name], strict=True))
            captions = {one["image_id"]: (one["caption"], scores[one["image_id"]]) for one in texts}
            rows.append((method, fraction, captions))
    return rows


def _of_data(found: Found, images: list[int], data_dir: str) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Returns the pictures as data URIs and the human captions by image; raises InputError if the data set is gone."""
    run = next((path for path in found.part.runs.values() if not (path / EVALUATION).exists()), None)
    if run is None:
        raise InputError("None of the runs is one of tfcap.main, which say where their data are")
    settings, fingerprints = description_of(run)
    index = index_of(settings.replace(data_dir=data_dir) if data_dir else settings, fingerprints, "test")
    from tfcap.data.records import Records  # TensorFlow is imported only when it is needed

    records = Records(index.folder, "test", settings.data.limit)
    places = {int(image): place for place, image in enumerate(records.ids)}
    positions = [places[image] for image in images]
    captions = {record.image_id: record.captions for record in records.described(positions)}
    return {image: _thumbnail(records.picture(place)) for image, place in zip(images, positions, strict=True)}, captions


def _thumbnail(pixels: np.ndarray) -> str:
    """Returns uint8 [H, W, 3] as a data URI of a small JPEG."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
