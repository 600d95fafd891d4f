"""Distils a data set into a few image-text pairs, and judges them by what a student trained on them retrieves.

    python -m tfcap.distill experts --out=distilled/a
    python -m tfcap.distill match --out=distilled/a --method=trajectory --pairs=100
    python -m tfcap.distill evaluate --out=distilled/a
    python -m tfcap.distill study --out=distilled/a --methods=random,trajectory --sizes=100,200 --seeds=0,1,2

experts trains on all pairs, and keeps the parameters of every epoch; match makes one set, in OUT/sets; evaluate trains
a new student on each set (or on those of --sets, with another --encoder) and says what it retrieves; study does all of
it for every method, size and seed. What is finished is not done again, and the same command goes on after a kill.
Flags:
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flags
from tfcap.command_settings import DistillSettings
from tfcap.distillation.asked import VERBS, resolved
from tfcap.errors import CellsFailed, InputError, TrainingDiverged
from tfcap.files import alone_in
from tfcap.settings import Settings

if TYPE_CHECKING:
    from tfcap.distillation.judged import Judged
    from tfcap.distillation.problem import Problem

# Flags that would change nothing, by verb, where somebody might think that they do.
_IDLE = {"study": ("method", "pairs", "seed")}
_ALSO = ("encoder", "encoder_weights", "seed", "progress", "xla")


def main(argv: Sequence[str]) -> None:
    """Does what the verb says and prints what was found."""
    verb, asked, settings = settings_of(argv)
    out = Path(asked.out)
    with alone_in(out, "distillation"):
        from tfcap.distillation.problem import Problem  # TensorFlow is imported only when it is needed

        problem = Problem(asked, settings)
        problem.check_bound(out)
        _VERBS[verb](problem, out)
        problem.bind(out)


def settings_of(argv: Sequence[str]) -> tuple[str, DistillSettings, Settings]:
    """Returns the verb of a command line, its settings, and those of the data, the image encoder and the process.

    Raises:
      InputError: there is no such verb or flag, or settings are wrong, alone or together.
    """
    said = flags.parse_said(argv, ("distill", "data"), __doc__ or "", argument="verb", also=_ALSO)
    verb = said.pop("verb")
    if verb not in VERBS:
        raise InputError("There is no such verb", received=verb, expected=" or ".join(VERBS))
    idle = [name for name in _IDLE.get(verb, ()) if name in said]
    if idle:
        raise InputError(f"{verb} has no use for --{idle[0]}", received=said[idle[0]], remedy="See --help.")
    own = [field.name for field in dataclasses.fields(DistillSettings)]
    of_command = DistillSettings(**{name: said.pop(name) for name in own if name in said})
    return verb, *resolved(of_command, said, verb)


def _experts(problem: Problem, out: Path) -> None:
    from tfcap.distillation.experts import Experts

    Experts.of(problem, out, problem.settings.run.seed).train()
    print(f"{out / 'experts'}\n  experts: {problem.asked.experts}, of {problem.asked.expert_epochs} epochs each")


def _match(problem: Problem, out: Path) -> None:
    from tfcap.distillation.sets import SHEET, make

    folder = make(problem, out, problem.settings.run.seed)
    print(f"{folder}\n  pairs: {problem.asked.pairs}; look at {SHEET}")


def _evaluate(problem: Problem, out: Path) -> None:
    from tfcap.distillation.judged import Judged

    judged, failed = Judged(problem, out), {}
    for folder in judged.folders():
        try:
            judged.judge(folder)
        except TrainingDiverged as error:
            failed[folder.name] = str(error)
    _say(judged, failed)


def _study(problem: Problem, out: Path) -> None:
    from tfcap.distillation.study import run

    _say(*run(problem, out))


def _say(judged: Judged, failed: Mapping[str, str]) -> None:
    """Prints what was found; raises CellsFailed with what diverged."""
    if judged.found:
        print(judged.tables())
    if failed:
        raise CellsFailed(f"{len(failed)} failed: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))


_VERBS: dict[str, Callable[[Any, Path], None]] = {
    "experts": _experts,
    "match": _match,
    "evaluate": _evaluate,
    "study": _study,
}

if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv), "interrupted; the same command goes on")
