"""A run folder opened for its scores: what they are and of which data, without TensorFlow and without a record read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap import registry
from tfcap.data.record_index import Examples, RecordIndex
from tfcap.errors import InputError
from tfcap.evaluation.quality import ACCURACY
from tfcap.run_folder import description_of
from tfcap.scoring import score_store
from tfcap.scoring.sketch_files import for_influence
from tfcap.settings import Settings


class ScoredRun:
    """The scores of a run's train split; its examples are images, or pairs where the run says `--level=pair`.

    Attributes:
      path: the run folder.
      settings: of the run, with what the command line changes.
      index: of the train split that the run scored.
      examples: the index, or its pairs.
      scores: float32 [N] by name, in the examples' order.
      about: what is said of each score, by name.
      fingerprints: of the data, by split.
    """

    def __init__(self, where: Path, **changes: Any) -> None:
        """Reads the scores of a run folder, or those of one score file in it.

        Raises:
          InputError: `where` is neither, there is no score, one is damaged or of other data, or the data set is gone.
        """
        one = where.suffix in (".npy", ".json") and where.is_file()
        self.path = where.resolve().parent.parent if one else where
        if not (self.path / "experiment.json").is_file():
            raise InputError(
                "There is no run", received=where, expected="the folder of a run, or a score file in its scores/"
            )
        described, self.fingerprints = description_of(self.path)
        self.settings = described.replace(**changes)
        self.index = index_of(self.settings, self.fingerprints, "train")
        self.examples = _examples(self.settings, self.index)
        self.folder = self.path / "scores"
        names = [where.stem] if one else [name for name in registry.SCORES if (self.folder / f"{name}.json").exists()]
        others = (self.folder / f"{name}.json" for name in ("embedding", "gradient_sketch-train"))
        if (one and names[0] not in registry.SCORES) or not (names or any(path.exists() for path in others)):
            raise no_score(where)
        self.scores: dict[str, np.ndarray] = {}
        self.about: dict[str, dict[str, Any]] = {}
        for name in names:
            found = score_store.load(self.folder, name, self.examples)
            if found is None:
                raise InputError(
                    "A score file has lost its description", received=where, expected=f"{name}.json beside"
                )
            self.scores[name], self.about[name] = found

    def embeddings(self) -> np.ndarray | None:
        """Returns the images' embeddings [N, D], memory-mapped, or None if the run made none."""
        found = score_store.load(self.folder, "embedding", self.examples)
        return found[0] if found else None

    def labels(self) -> np.ndarray | None:
        """Returns the class of each example, int64 [N], or None where the run is of captions."""
        if self.settings.quality != ACCURACY:
            return None
        from tfcap.data.records import Records  # TensorFlow reads the captions from the records

        records = Records(self.index.folder, self.index.split, self.settings.data.limit)
        names = np.array([texts[0] for texts in records.captions])
        return np.unique(names, return_inverse=True)[1]

    def sketches(self) -> dict[str, np.ndarray]:
        """Returns what the selector influence looks at; nothing if the run made no gradient sketches."""
        of_train = score_store.load(self.folder, "gradient_sketch-train", self.examples)
        if of_train is None:
            return {}
        validation = _examples(self.settings, index_of(self.settings, self.fingerprints, "validation"))
        targets = score_store.load(self.folder, "gradient_sketch-validation", validation)
        if targets is None:
            return {}
        return for_influence(of_train[0], targets[0], self.settings.selection.targets, self.settings.run.seed)


def no_score(where: Path) -> InputError:
    """Returns the error of a place without a score."""
    return InputError(
        "There is no score",
        received=where,
        expected="one of " + ", ".join(f"scores/{name}.npy" for name in registry.SCORES) + " with its .json",
        remedy="python -m tfcap.main --selector=loss makes one.",
    )


def _examples(settings: Settings, index: RecordIndex) -> Examples:
    if settings.selection.level == "image":
        return index
    from tfcap.data.pairs import Pairs  # TensorFlow reads the captions' ids from the records
    from tfcap.data.records import Records

    return Pairs(Records(index.folder, index.split, settings.data.limit))


def index_of(settings: Settings, fingerprints: Mapping[str, str], split: str) -> RecordIndex:
    """Returns the split with its fingerprint, which says more than any name, under --data_dir."""
    damaged, fingerprint = None, fingerprints[split]
    data_dir = Path(settings.data.data_dir).expanduser()
    for manifest in sorted(data_dir.glob(f"{settings.data.dataset}/*/[0-9]*/tfcap.json")):
        try:
            index = RecordIndex(manifest.parent, split, settings.data.limit)
        except InputError as error:
            damaged = error
        else:
            if index.fingerprint == fingerprint:
                return index
    if damaged is not None:
        raise damaged
    raise InputError(
        "The data set of the run is not there",
        received=f"--data_dir={settings.data.data_dir}",
        expected=f"{settings.data.dataset} with the fingerprint {fingerprint[:12]}",
        remedy="Say --data_dir, or build it with python -m tfrecords_builder.",
    )
