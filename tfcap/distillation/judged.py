"""What was found of each set: a file a set, written when it is judged, and the tables of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.distillation import pairs as pairs_file
from tfcap.distillation.asked import TEXT_ENCODER, numbers
from tfcap.distillation.experts import Experts
from tfcap.distillation.judging import DIRECTIONS, best_of, judge
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem
from tfcap.distillation.students import Students
from tfcap.distillation.text_training import SMALL
from tfcap.errors import InputError
from tfcap.evaluation.crossed import Estimate, mean_over_seeds
from tfcap.evaluation.retrieval import KS
from tfcap.files import atomic_file, file_hash, read_json, remove_partials, write_json, write_text
from tfcap.reporting.retrieval_chart import retrieval_chart
from tfcap.reporting.retrieval_table import retrieval_tables

WHOLE = "expert, all pairs"  # among methods


class Judged:
    """The findings of a folder of distillation, in `judged/`, or in `judged-ENCODER/` of sets from elsewhere."""

    def __init__(self, problem: Problem, out: Path) -> None:
        self.problem, self.out, asked = problem, out, problem.asked
        self.folder = out / ("judged" if not asked.sets else f"judged-{problem.settings.model.encoder}")
        self.rates = numbers("judge_rates", asked.judge_rates, float)
        self.students = Students(problem, problem.settings.training.xla)
        self.found: dict[str, dict[str, Any]] = {}  # of this command, by name of the set
        remove_partials(self.folder)

    def folders(self) -> list[Path]:
        """Returns the folders of the sets that are there; raises InputError where there are none."""
        where = Path(self.problem.asked.sets) if self.problem.asked.sets else self.out / "sets"
        found = [where] if (where / pairs_file.DESCRIPTION).exists() else []
        found += [path.parent for path in sorted(where.glob(f"[!.]*/{pairs_file.DESCRIPTION}"))]
        if not found:
            raise InputError(
                "There is no distilled set",
                received=where,
                expected=f"a folder with {pairs_file.DESCRIPTION}, or several in one",
                remedy="python -m tfcap.distill match makes one.",
            )
        return found

    def judge(self, folder: Path) -> dict[str, Any]:
        """Returns what was found of a set, now or earlier for the same pairs and recipe; its seed is the student's.

        Raises:
          InputError: the set does not fit the student.
          TrainingDiverged: no student could be trained on it.
        """
        pairs, about = pairs_file.read(folder)
        self._check(folder, pairs, about)
        asked, path = self.problem.asked, self.folder / f"{folder.name}.json"
        recipe = {
            "problem": self.problem.identity,
            **{name: getattr(asked, name) for name in ("judge_rates", "judge_steps", "judge_batch")},
        }
        made_of = {"pairs_sha256": file_hash(folder / pairs_file.TENSORS), "options": about["options"]}
        known = read_json(path) if path.exists() else {}
        if known.get("recipe") == recipe and known.get("set") == made_of:
            self.found[folder.name] = known
            return known
        found = judge(self.students, pairs, self.rates, asked.judge_steps, asked.judge_batch, about["seed"])
        said = {name: about[name] for name in ("method", "pairs", "seed")}
        known = {**said, "recipe": recipe, "set": made_of, **found}
        write_json(path, known)
        self.found[folder.name] = known
        return known

    def _check(self, folder: Path, pairs: Pairs, about: Mapping[str, Any]) -> None:
        problem = self.problem
        wanted = (*problem.train.images.shape[1:],), problem.train.texts.shape[1:]
        if about["fingerprints"] != problem.fingerprints():
            raise InputError(
                f"{folder} is of other data", remedy="Say the --dataset and --data_dir that it was made of."
            )
        if about["text_identity"] != problem.text_encoder.identity():
            small = about["text_encoder"] == SMALL
            raise InputError(
                f"{folder} holds embeddings of another text encoder",
                received=f"--text_encoder={problem.asked.text_encoder} with other weights, or of another training",
                expected=f"--text_encoder={about['text_encoder']} with the --text_weights "
                + (f"in the folder {TEXT_ENCODER} beside its sets" if small else "that it was made with"),
            )
        fits = problem.of_pixels or about["problem"] == problem.identity
        if (pairs.images.shape[1:], pairs.texts.shape[1:]) != wanted or not fits:
            raise InputError(
                f"{folder} does not fit this student",
                received=_in_words(about["kind"], about["encoder"], about["image_size"]),
                expected=_in_words(
                    "images" if problem.of_pixels else "features",
                    problem.settings.model.encoder,
                    problem.settings.data.image_size,
                ),
                remedy=""
                if about["kind"] == "features"
                else f"Say --image_size={about['image_size']} and --trains=encoder, or lora.",
            )

    def judge_expert(self, experts: Experts, seed: int) -> None:
        """Finds what the first expert of a seed retrieves after its best epoch on validation, trained on all pairs."""
        asked, path = self.problem.asked, self.folder / f"expert-s{seed}.json"
        recipe = {"problem": self.problem.identity, "making": experts.making, "epochs": asked.expert_epochs}
        known = read_json(path) if path.exists() else {}
        if known.get("recipe") != recipe:
            points = (experts.point(0, epoch).parameters for epoch in range(1, asked.expert_epochs + 1))
            said = {"method": WHOLE, "pairs": len(self.problem.train), "seed": seed, "recipe": recipe}
            known = {**said, **best_of(self.students, points)}
            write_json(path, known)
        self.found[f"expert-s{seed}"] = known

    def write(self) -> None:
        """Writes all that was found in one file, and the chart of it."""
        cells = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in self.found.items()]
        write_text(self.out / "distillation.json", '{"cells": {\n' + ",\n".join(cells) + "\n}}\n")
        if all(one["method"] == WHOLE for one in self.found.values()):
            return  # there is nothing to draw
        for name, content in retrieval_chart(estimates(list(self.found.values())), WHOLE).files().items():
            with atomic_file(self.out / name) as path:
                path.write_bytes(content)

    def tables(self) -> str:
        """Returns the tables of the sets that this command judged, or knew to be judged by its recipe."""
        return retrieval_tables(estimates(list(self.found.values())), WHOLE)


def _in_words(kind: str, encoder: str, image_size: int) -> str:
    return f"images of {image_size} pixels" if kind == "images" else f"features by {encoder} of {image_size} pixels"


def estimates(findings: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, dict[str, Estimate]]]]:
    """Returns by method, size, direction and recall the mean over seeds and test images, with its interval.

    Raises:
      InputError: sets of one method and size were made otherwise, or have one seed twice, and so are no sample.
    """
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for one in findings:
        found.setdefault(one["method"], {}).setdefault(one["pairs"], []).append(one)
    for method, sizes in found.items():
        for size, seeds in sizes.items():
            _check_sample(f"{method} of {size} pairs", seeds)
    return {
        method: {
            size: {
                name: {f"R@{k}": mean_over_seeds(np.array([one["hits"][name][f"R@{k}"] for one in seeds])) for k in KS}
                for name in DIRECTIONS
            }
            for size, seeds in sizes.items()
        }
        for method, sizes in found.items()
    }


def _check_sample(name: str, findings: list[dict[str, Any]]) -> None:
    made = {json.dumps(one["set"]["options"], sort_keys=True) for one in findings if "set" in one}
    seeds = [one["seed"] for one in findings]
    if len(made) > 1 or len(set(seeds)) < len(seeds):
        raise InputError(
            f"Sets by {name} are no sample of one method",
            received=" and ".join(sorted(made)) if len(made) > 1 else f"seeds {seeds}",
            expected="sets made with the same settings, each with a seed of its own",
            remedy="Evaluate them apart, with --sets=FOLDER.",
        )
