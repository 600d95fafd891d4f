"""A grid of distillations: every method at every size with every seed, each made, judged and kept."""

from __future__ import annotations

from pathlib import Path

import tfcap.quiet  # noqa: F401

from tfcap.distillation.asked import numbers
from tfcap.distillation.experts import Experts
from tfcap.distillation.judged import Judged
from tfcap.distillation.problem import Problem
from tfcap.distillation.sets import check, make
from tfcap.errors import TrainingDiverged
from tfcap.fields import several
from tfcap.progress import progress_bar


def run(problem: Problem, out: Path) -> tuple[Judged, dict[str, str]]:
    """Makes and judges what is not there yet, one after another; returns what was found, and why sets diverged.

    Experts are trained for the seeds whose methods need them. A method that cannot make so many pairs leaves them out.

    Raises:
      InputError: a list cannot be read, or a set in the folder was made otherwise.
    """
    asked = problem.asked
    methods, sizes, seeds = (
        several(asked.methods),
        numbers("sizes", asked.sizes, int),
        numbers("seeds", asked.seeds, int),
    )
    for size in sizes:
        problem.check_pairs(size)
    judged, failed = Judged(problem, out), {}
    cells = {
        f"{method}-{size}-s{seed}": (problem.asking(method=method, pairs=size), seed)
        for size in sizes
        for method in methods
        for seed in seeds
    }
    # What cannot be had is said before anything is trained.
    needs = {name: method for name, cell in cells.items() if (method := check(cell[0], out, cell[1]))}
    diverged: dict[int, TrainingDiverged] = {}  # experts, by seed
    try:
        with progress_bar(len(cells), "study", "set", shown=problem.settings.run.progress) as bar:
            for name, (one, seed) in cells.items():
                bar.set_postfix_str(name)
                if name in needs:
                    try:
                        if needs[name].needs_experts:
                            _train(one, out, seed, diverged)
                        judged.judge(make(one, out, seed))
                    except TrainingDiverged as error:
                        failed[name] = str(error)
                bar.update()
        for seed in seeds:
            experts = Experts.of(problem, out, seed)
            if experts.is_trained(1, asked.expert_epochs):
                judged.judge_expert(experts, seed)
    finally:
        judged.write()
    return judged, failed


def _train(problem: Problem, out: Path, seed: int, diverged: dict[int, TrainingDiverged]) -> None:
    """Trains the experts of a seed that are not trained yet; what diverged is not tried again."""
    if seed in diverged:
        raise diverged[seed]
    try:
        Experts.of(problem, out, seed).train()
    except TrainingDiverged as error:
        diverged[seed] = error
        raise
