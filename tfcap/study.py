"""Runs a grid of experiments: any flag of tfcap.main can be a list, and every combination is one of its cells.

    python -m tfcap.study --out=studies/a --selector=random,loss --fraction=0.25,0.5,1 --seed=0,1,2

Cells share the data, the features and the scoring captioners. What a cell found goes to study.json as soon as it is
there; the same command goes on after a kill, and runs no finished cell again. All flags of tfcap.main, and:
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flags
from tfcap import machine, run_folder
from tfcap.cell_costs import expected, in_words
from tfcap.command_settings import StudySettings
from tfcap.errors import CellsFailed, InputError
from tfcap.evaluation.costs import PLATEAU_RISE
from tfcap.files import alone_in, read_json, rename, write_text
from tfcap.findings import (
    against_random,
    common_protocol,
    estimates,
    late_rises,
    method_of,
    noise_kept,
    paces,
    quality_among,
    reaching,
    relative_costs,
)
from tfcap.grid import OF_SELECTION, OWN_TEACHER, Cell, cells_of, teachers_of
from tfcap.reporting.live_table import LiveTable
from tfcap.reporting.quality import ACCURACY, Quality
from tfcap.reporting.study_table import (
    cost_table,
    difference_table,
    noise_table,
    pace_table,
    plateau_note,
    reach_table,
    study_table,
)
from tfcap.settings import NEUTRAL, Settings
from tfcap.trackers import check_installed

_POLL_SECONDS = 0.5


def main(argv: Sequence[str]) -> None:
    """Runs what is left of the grid and prints its table."""
    own = [field.name for field in dataclasses.fields(StudySettings)]
    mine = [word for word in argv[1:] if word.lstrip("-").removeprefix("no").split("=")[0] in (*own, "h", "help")]
    asked = StudySettings(**flags.parse_said([argv[0], *mine], ("study",), __doc__ or ""))
    cells = cells_of([word for word in argv[1:] if word not in mine])
    if asked.dry_run:
        print("\n".join(Study(Path(asked.out), cells, asked.jobs).foreseen()))
        return
    if not asked.out:
        raise InputError("--out is missing", expected="--out=FOLDER", remedy="See --help.")
    out = Path(asked.out)
    study = Study(out, cells, asked.jobs)
    with alone_in(out, "study"):
        failed = study.run()
    if study.found:
        print(_tables(study.found))
    if failed:
        words = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise CellsFailed(f"{len(failed)} of {len(cells)} cells failed: {words}. Their output is in {out}/logs.")


def _tables(cells: Mapping[str, Any]) -> str:
    """Returns what the cells say together: each table that has anything to say, with its legend."""
    differences, noise, costs = against_random(cells), noise_kept(cells), relative_costs(cells)
    reached, rises, quality = reaching(cells), late_rises(cells), quality_among(cells)
    epochs = paces(cells) if quality == ACCURACY else {}
    parts = [study_table(estimates(cells), quality, differences, common_protocol(cells))]
    parts += [difference_table(differences)] if differences else []
    parts += [reach_table(reached)] if reached else []
    parts += [cost_table(costs)] if costs else []
    parts += [pace_table(epochs)] if epochs else []
    parts += [noise_table(noise)] if noise else []
    parts += [plateau_note(rises, PLATEAU_RISE, quality)] if rises else []
    return "\n\n".join(parts)


@dataclasses.dataclass(frozen=True)
class _Running:
    """A cell, its process, and when this was started by the clock of performance."""

    cell: Cell
    process: subprocess.Popen[bytes]
    began: float


class Study:
    """The cells of a grid, and what those that are finished have found.

    Attributes:
      found: by the cell's name, what study.json holds of it.
      quality: what says how good a cell is.
    """

    def __init__(self, out: Path, cells: Sequence[Cell], jobs: int) -> None:
        """Raises InputError if a cell's settings cannot be, its teacher is none, or captioners stand by classifiers."""
        from tfcap.scoring_plan import ScoringPlan  # TensorFlow is imported only when it is needed

        self.out, self.cells, self.jobs = out, cells, jobs
        self.found: dict[str, Any] = {}
        self._teachers = teachers_of(cells)  # by the name of the cell that learns
        self._renamed: dict[str, str] = {}  # from what a grid of other axes called a finished cell
        self._hashes: dict[str, str] = {}
        self._scoring: dict[str, tuple[str, int]] = {}  # where its scores will be, and the scoring captioner's epochs
        self.quality = self._common_quality()
        for cell in cells:
            check_installed(cell.settings)
            settings = cell.settings.replace(scoring_dir="scoring", run_dir=cell.name).resolve()
            plan = ScoringPlan(settings)
            self._hashes[cell.name] = _resolved(cell.settings)
            epochs = plan.length * settings.selection.score_seeds
            self._scoring[cell.name] = (plan.shared_folder("").name if plan.files or epochs else "", epochs)

    def _common_quality(self) -> Quality:
        """Returns what says how good the cells of this grid are, and those that were run here before, if it is one."""
        asked: dict[str, Any] = {cell.name: {"per_image": {cell.settings.quality: []}} for cell in self.cells}
        return quality_among({**self.found, **asked})

    def foreseen(self) -> list[str]:
        """Returns a line a cell, with its command and what it is expected to take, and lines on all of them."""
        if self.out != Path():  # --dry_run needs no --out
            self._read()
        costs = expected(self.cells, self._scoring, self.found)
        lines = []
        for cell in self.cells:
            said = in_words(costs[cell.name].seconds) if cell.name in costs else "finished"
            lines.append(f"{cell.name:<32} {said:>9}  python -m tfcap.main {' '.join(self._arguments(cell))}")
        seconds = sum(cost.seconds for cost in costs.values())
        total = f"{len(self.cells)} cells, of which {len(self.cells) - len(costs)} are finished"
        together = f"{in_words(seconds / self.jobs)} by --jobs={self.jobs}"
        lines.append(f"{total}; the others about {in_words(seconds)}, {together}")
        whys = Counter(cost.why for cost in costs.values())
        return [*lines, *(f"  {count} of them {why}" for why, count in whys.items())]

    def _read(self) -> None:
        """Reads what earlier calls have found, by the names of this grid's axes.

        Raises:
          InputError: a cell was finished with other settings, or with another teacher.
        """
        if (self.out / "study.json").exists():
            self.found = read_json(self.out / "study.json")["cells"]
        self._common_quality()
        # By its command line: a later version may have settings that did not exist when the cell was run.
        known = {name: _resolved(flags.parse(["study", *cell["arguments"]])) for name, cell in self.found.items()}
        others = {of_cell: name for name, of_cell in known.items() if name not in self._hashes}
        for cell in self.cells:
            of_cell = self._hashes[cell.name]
            if known.get(cell.name, of_cell) != of_cell:
                raise InputError(
                    f"{self.out} holds the cell {cell.name} with other settings", remedy="Choose another --out."
                )
            if cell.name not in known and of_cell in others:
                self._renamed[others[of_cell]] = cell.name
                self.found[cell.name] = {**self.found.pop(others[of_cell]), "axes": cell.axes}
        for found in self.found.values():
            if "teacher" in found:
                found["teacher"] = self._renamed.get(found["teacher"], found["teacher"])
        self._check_taught()
        self._check_beside()

    def _check_taught(self) -> None:
        """Raises InputError if a cell was finished with another teacher than this grid has for it."""
        for cell in self.cells:
            before, now = self.found.get(cell.name, {}).get("teacher"), self._teacher(cell)
            if cell.name in self.found and before != now:
                raise InputError(
                    f"{self.out} holds the cell {cell.name} with another teacher",
                    received=now,
                    expected=before,
                    remedy="Choose another --out, or list values in the order that they had.",
                )

    def _check_weights(self) -> None:
        """Raises InputError if a cell is to learn from one that was finished before any was to, and has no weights."""
        for cell in self.cells:
            teacher = self._teachers.get(cell.name)
            if cell.name in self.found or teacher is None or teacher.name not in self.found:
                continue
            if not (self._run_dir(teacher) / "checkpoints").is_dir():
                raise InputError(
                    f"The cell {teacher.name} was finished without --teacher=full, and its weights are gone",
                    received=f"--out={self.out}",
                    remedy="Choose another --out.",
                )

    def _check_beside(self) -> None:
        """Raises InputError if cells of another grid differ from this one's in more than the names of both say."""
        alike = self._alike()
        for name in self.found.keys() - self._hashes.keys():
            found = self.found[name]
            said = flags.parse(["study", *found["arguments"]]).by_name()
            unsaid = {*found["axes"], *(OF_SELECTION if found["axes"].get("selector") == "full" else ())}
            differing = [flag for flag, value in alike.items() if flag not in unsaid and said[flag] != value]
            if differing:
                raise InputError(
                    f"{self.out} holds the cell {name} with another --{differing[0]}",
                    received=alike[differing[0]],
                    expected=said[differing[0]],
                    remedy="Choose another --out, or a grid that has both.",
                )

    def _alike(self) -> dict[str, Any]:
        """Returns the settings that matter to what a cell finds and are the same in all cells of this grid."""
        several = [cell.settings.by_name() for cell in self.cells if cell.axes.get("selector") != "full"]
        several = several or [cell.settings.by_name() for cell in self.cells]
        return {
            name: value
            for name, value in several[0].items()
            if name not in NEUTRAL and all(other[name] == value for other in several)
        }

    def _rename(self) -> None:
        """Gives the folders of cells that a smaller grid had run the names that they have in this one."""
        for before, name in self._renamed.items():
            for folder, end in (("runs", ""), ("logs", ".txt")):
                rename(self.out / folder / f"{before}{end}", f"{name}{end}")
        if self._renamed:
            write_text(self.out / "study.json", _as_json(self.found))

    def run(self) -> dict[str, str]:
        """Runs the cells that are not finished; returns why, for those that failed."""
        self._read()
        self._rename()
        self._check_weights()
        for name in self.found:  # a kill may have come before its last finished cell's were dropped
            self._drop_checkpoints(name)
        parts = machine.parts_of(self.jobs, machine.cores(), machine.gpus())
        # Whoever waits for a teacher finds it on its way.
        order = sorted(self.cells, key=lambda cell: bool(self._teachers) and _fraction(cell) < 1)
        pending = [cell for cell in order if cell.name not in self.found]
        running: dict[int, _Running] = {}  # by the part of the machine
        failed: dict[str, str] = {}
        try:
            places = {cell.name: (method_of(cell.axes), _fraction(cell)) for cell in self.cells}
            with LiveTable(places, self.quality) as table:
                for cell in self.cells:
                    if cell.name in self.found:
                        table.found(cell.name, 100 * self._value(cell))
                while pending or running:
                    for part in set(range(self.jobs)) - set(running):
                        chosen = self._next(pending, [one.cell for one in running.values()])
                        if chosen is not None:
                            pending.remove(chosen)
                            running[part] = _Running(chosen, self._start(chosen, parts[part]), time.perf_counter())
                            table.started(chosen.name)
                            table.expect(self._left(running.values()))
                    time.sleep(_POLL_SECONDS)
                    for part, one in list(running.items()):
                        if one.process.poll() is not None:
                            del running[part]
                            self._end(one, table, failed)
                    for cell in [cell for cell in pending if self._teacher(cell) in failed]:
                        pending.remove(cell)
                        failed[cell.name] = f"its teacher {self._teacher(cell)} failed"
                        table.failed(cell.name, failed[cell.name])
        finally:
            for one in running.values():
                one.process.send_signal(signal.SIGINT)
            for one in running.values():
                one.process.wait()
        return failed

    def _end(self, one: _Running, table: LiveTable, failed: dict[str, str]) -> None:
        """Takes what a cell found, or why it failed, from its process, which has ended."""
        if one.process.returncode == 0:
            words = self._finish(one.cell, time.perf_counter() - one.began)
            table.finished(one.cell.name, 100 * self._value(one.cell), words)
        else:
            failed[one.cell.name] = self._last_words(one.cell, one.process.returncode)
            table.failed(one.cell.name, failed[one.cell.name])

    def _left(self, running: Iterable[_Running]) -> float:
        """Returns how many seconds the rest of the grid is expected to take."""
        costs = expected(self.cells, self._scoring, self.found)
        passed = sum(min(time.perf_counter() - one.began, costs[one.cell.name].seconds) for one in running)
        return (sum(cost.seconds for cost in costs.values()) - passed) / self.jobs

    def _next(self, pending: Sequence[Cell], running: Sequence[Cell]) -> Cell | None:
        """Returns a cell that need not wait for its teacher, or for scores that a running one is about to make."""
        awaited = {self._scoring[cell.name][0] for cell in running if not any(self._run_dir(cell).glob("masks/*.json"))}
        awaited.discard("")
        taught = [cell for cell in pending if self._teacher(cell) in (None, *self.found)]
        return next((cell for cell in taught if self._scoring[cell.name][0] not in awaited), None)

    def _teacher(self, cell: Cell) -> str | None:
        return self._teachers[cell.name].name if cell.name in self._teachers else None

    def _arguments(self, cell: Cell) -> list[str]:
        """Returns the arguments of a cell's process, for which its teacher is a folder, however --out was spelt."""
        teacher = self._teachers.get(cell.name)
        if teacher is None:
            return list(cell.arguments)
        folder = self._run_dir(teacher).resolve()
        return [f"--teacher={folder}" if word == f"--teacher={OWN_TEACHER}" else word for word in cell.arguments]

    def _drop_checkpoints(self, name: str) -> None:
        """Deletes a finished cell's weights, unless a cell of this grid, or of one before, has it as its teacher."""
        of_others = {found.get("teacher") for found in self.found.values()}
        if name not in of_others and name not in {teacher.name for teacher in self._teachers.values()}:
            run_folder.drop_checkpoints(self.out / "runs" / name)

    def _run_dir(self, cell: Cell) -> Path:
        return self.out / "runs" / cell.name

    def _log(self, cell: Cell) -> Path:
        return self.out / "logs" / f"{cell.name}.txt"

    def _start(self, cell: Cell, part: machine.Part) -> subprocess.Popen[bytes]:
        places = [f"--run_dir={self._run_dir(cell)}", f"--scoring_dir={self.out / 'scoring'}"]
        self._log(cell).parent.mkdir(parents=True, exist_ok=True)
        with open(self._log(cell), "ab") as log:
            return machine.start([sys.executable, "-m", "tfcap.main", *self._arguments(cell), *places], part, log)

    def _finish(self, cell: Cell, seconds: float) -> str:
        """Writes what a cell found into study.json; returns it in words."""
        run = self._run_dir(cell)
        described, metrics = read_json(run / "experiment.json"), read_json(run / "metrics.json")
        history, name = read_json(run / "history.json"), self.quality.name
        scores = read_json(run / "per_image.json")[name]
        self.found[cell.name] = {
            "axes": cell.axes,
            "arguments": list(cell.arguments),
            **({"teacher": self._teacher(cell)} if cell.name in self._teachers else {}),
            "metrics": metrics,
            "per_image": {name: [self._briefly(score) for score in scores]},
            f"val_{name}": history[f"val_{name}"],
            "seconds": round(max(seconds, metrics["train_seconds"]), 1),  # it may have been trained before a kill
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "data_set": described.get("data_set", {}),
            "git_commit": described["git_commit"],
            "versions": described["versions"],
            "processor": run_folder.processor(),
        }
        write_text(self.out / "study.json", _as_json(self.found))
        self._drop_checkpoints(cell.name)
        return f"{cell.name}: {self.quality.said(self._value(cell))}, {seconds / 60:.1f} min"

    def _briefly(self, score: float) -> float:
        """Returns a picture's score in few digits; of a class it is 0 or 1."""
        return int(score) if self.quality == ACCURACY else round(score, 4)

    def _value(self, cell: Cell) -> float:
        """Returns how good a finished cell is."""
        value: float = self.found[cell.name]["metrics"][self.quality.name]["value"]
        return value

    def _last_words(self, cell: Cell, code: int) -> str:
        if code < 0:
            killed = f"killed by signal {-code}"
            return f"{killed}; perhaps there was too little memory" if -code == signal.SIGKILL else killed
        lines = self._log(cell).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"


def _as_json(cells: Mapping[str, Any]) -> str:
    """Returns the cells as JSON, one a line, so that a change of one is a change of a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(cell, allow_nan=False)}" for name, cell in cells.items()]
    return '{"cells": {\n' + ",\n".join(lines) + "\n}}\n"


def _resolved(settings: Settings) -> str:
    return settings.resolve().hash()


def _fraction(cell: Cell) -> float:
    return cell.settings.selection.fraction


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv), "interrupted; the same command goes on")
