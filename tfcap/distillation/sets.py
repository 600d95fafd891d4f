"""Making a set and keeping it: the folder that `--dataset=distilled:DIR` and the judges read."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
from PIL import Image

from tfcap import registry
from tfcap.distillation import pairs as pairs_file
from tfcap.distillation.asked import TEXT_ENCODER
from tfcap.distillation.descent import STATE
from tfcap.distillation.experts import Experts
from tfcap.distillation.method import Chosen, Method
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem
from tfcap.errors import InputError
from tfcap.files import atomic_folder, hash_of, read_json, remove_partials
from tfcap.models.small_text import SmallText
from tfcap.reporting.pictures import Example, columns_pixels
from tfcap.trackers import TrackedRun
from tfcap.trackers.tensorboard import TensorBoard

SHEET, PICTURES = "sheet.png", "images"
_ON_SHEET, _ON_BOARD = 8, 4  # pairs
_AT_ONCE = 4096  # captions that are compared


def name_of(method: str, count: int, seed: int) -> str:
    """Returns what the folder of a set is called."""
    return f"{method}-{count}-s{seed}"


def make(problem: Problem, out: Path, seed: int) -> Path:
    """Makes the set that the settings ask for and returns its folder; one that is there is left as it is.

    Raises:
      InputError: the folder holds a set that was made otherwise, or more pairs are asked for than there are images.
      TrainingDiverged: a loss became NaN or infinite.
    """
    asked = problem.asked
    problem.check_pairs(asked.pairs)
    method: Method = registry.DISTILLERS[asked.method](problem, lambda: Experts.of(problem, out, seed))
    name = name_of(asked.method, asked.pairs, seed)
    folder = out / "sets" / name
    made_by = {"problem": problem.identity, "options": method.options()}
    if (folder / pairs_file.DESCRIPTION).exists():
        _check_same(folder, made_by)
        return folder
    remove_partials(folder.parent)
    # What was begun with other settings and not finished stays where it is, for when they are asked for again.
    work = out / "work" / f"{name}-{hash_of(made_by)[:8]}"
    work.mkdir(parents=True, exist_ok=True)
    remove_partials(work)
    began = time.perf_counter()
    with contextlib.closing(_Shower(problem, work)) as shower:
        chosen = method.distil(asked.pairs, seed, work, problem.settings.training.xla, shower)
    seconds = time.perf_counter() - began
    text_encoder = problem.text_encoder
    if isinstance(text_encoder, SmallText) and not (out / TEXT_ENCODER).is_dir():
        text_encoder.save(out / TEXT_ENCODER)  # for students of another image encoder, beside which it was not trained
    about = {"method": asked.method, "pairs": asked.pairs, "seed": seed, **made_by, **_origin(problem)}
    with atomic_folder(folder) as temporary:
        _write(temporary, problem, chosen, {**about, "seconds_of_the_last_process": round(seconds, 1)})
    (work / STATE).unlink(missing_ok=True)
    return folder


def check(problem: Problem, out: Path, seed: int) -> Method | None:
    """Returns the method of the settings; None where it cannot make so many pairs.

    Raises:
      InputError: the method cannot be had, or what lies in the folder was made otherwise.
    """
    asked = problem.asked
    method: Method = registry.DISTILLERS[asked.method](problem, lambda: Experts.of(problem, out, seed))
    if not method.least_pairs <= asked.pairs <= method.most_pairs():
        return None
    if method.needs_experts:
        Experts.of(problem, out, seed)
    folder = out / "sets" / name_of(asked.method, asked.pairs, seed)
    if (folder / pairs_file.DESCRIPTION).exists():
        _check_same(folder, {"problem": problem.identity, "options": method.options()})
    return method


def _check_same(folder: Path, made_by: Mapping[str, Any]) -> None:
    known = read_json(folder / pairs_file.DESCRIPTION)
    if known["problem"] != made_by["problem"]:
        raise InputError(f"{folder} is a set of other data or encoders", remedy="Choose another --out.")
    options, before = made_by["options"], known["options"]
    other = [name for name in options if before.get(name) != options[name]]
    if other:
        raise InputError(
            f"{folder} was made with another --{other[0]}",
            received=options[other[0]],
            expected=before.get(other[0]),
            remedy="Choose another --out, or delete that folder.",
        )


def _origin(problem: Problem) -> dict[str, Any]:
    """Returns what says of which data and encoders a set is."""
    asked, settings = problem.asked, problem.settings
    return {
        "kind": "images" if problem.of_pixels else "features",
        "image_size": settings.data.image_size,
        "encoder": settings.model.encoder,
        "text_encoder": asked.text_encoder,
        "text_identity": problem.text_encoder.identity(),
        "trains": asked.trains,
        "data": dataclasses.asdict(settings.data),
        "fingerprints": problem.fingerprints(),
    }


def _write(folder: Path, problem: Problem, chosen: Chosen, about: dict[str, Any]) -> None:
    nearest = Nearest(problem)
    captions = nearest.captions(chosen.pairs.texts)
    said = [problem.train.captions[row] for row in captions[0]]
    details: dict[str, Any] = {"captions": said, "similarities": [round(float(one), 4) for one in captions[1]]}
    if chosen.positions is not None:
        details["image_ids"] = problem.train.records.ids[chosen.positions].tolist()
    pairs = chosen.pairs
    if problem.of_pixels:
        pictures = _pixels(pairs.images)
        pairs = dataclasses.replace(pairs, images=pictures.astype(np.float32))  # what is trained on is what is shown
        (folder / PICTURES).mkdir()
        for place, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / PICTURES / f"{place:05d}.png")
    asked = problem.asked
    columns = {f"{asked.method}. {nearest.legend()}": pairs}
    if chosen.start is not None:
        after = f"After {asked.steps:,} steps of {asked.method}."
        columns = {f"Before: {asked.start}. {nearest.legend()}": chosen.start, after: pairs}
    sheet = columns_pixels({head: nearest.cards(one, _ON_SHEET) for head, one in columns.items()})
    Image.fromarray(sheet).save(folder / SHEET)
    pairs_file.write(folder, pairs, {**about, **details})


def _pixels(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


class Nearest:
    """The real captions and pictures that are most like synthetic ones, by the cosine of embeddings and of features."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def captions(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns for embeddings [M, E] the rows of the captions int64 [M], and the cosines float [M]."""
        return _nearest(texts, self.problem.train.texts)

    def legend(self) -> str:
        """Returns what the captions of cards, and of features their pictures, are."""
        shown = "Captions" if self.problem.of_pixels else "Pictures and captions"
        return f"{shown} are the nearest real ones, with their cosines."

    def cards(self, pairs: Pairs, count: int) -> list[Example]:
        """Returns the first pairs with their pictures; of features, with the nearest real ones."""
        count = min(count, len(pairs))
        rows, likeness = self.captions(pairs.texts[:count])
        train = self.problem.train
        if self.problem.of_pixels:
            pictures, labels = list(_pixels(pairs.images[:count])), [f"pair {place + 1}" for place in range(count)]
        else:
            positions, cosines = _nearest(pairs.images[:count], train.images)
            pictures = [train.records.picture(int(position)) for position in positions]
            labels = [f"{place + 1}: nearest picture {cosine:.2f}" for place, cosine in enumerate(cosines)]
        return [
            Example(picture, [train.captions[row]], label, f"caption {one:.2f}")
            for picture, row, label, one in zip(pictures, rows, labels, likeness, strict=True)
        ]


def _nearest(vectors: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each of [M, D] the row of the most similar of [N, D], by cosine, and the cosine."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    best, rows = np.full(len(vectors), -np.inf), np.zeros(len(vectors), np.int64)
    for first in range(0, len(real), _AT_ONCE):
        block = real[first : first + _AT_ONCE]
        cosines = vectors @ (block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)).T
        own = cosines.argmax(axis=1)
        value = cosines[np.arange(len(vectors)), own]
        rows, best = np.where(value > best, first + own, rows), np.maximum(best, value)
    return rows, best


class _Shower:
    """Shows in TensorBoard how the numbers, the pictures and the nearest captions change."""

    def __init__(self, problem: Problem, work: Path) -> None:
        self.work, self.nearest = work, Nearest(problem)
        self._board: TensorBoard | None = None  # a method without steps shows nothing

    def __call__(self, step: int, pairs: Pairs, numbers: Mapping[str, float]) -> None:
        if self._board is None:
            self._board = TensorBoard(TrackedRun(self.work, "", {}))
        self._board.scalars(step, numbers)
        self._board.picture(
            step,
            "pairs",
            columns_pixels({f"Step {step:,}. {self.nearest.legend()}": self.nearest.cards(pairs, _ON_BOARD)}),
        )

    def close(self) -> None:
        """Ends the files of this process."""
        if self._board is not None:
            self._board.close("finished")
