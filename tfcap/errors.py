"""The ways in which an experiment stops early, with the exit codes that the command line gives them."""


class InputError(ValueError):
    """A user's mistake: one line with what was received, what is expected and what to do. Exit code 2."""

    def __init__(self, problem: str, *, received: object = None, expected: object = None, remedy: str = "") -> None:
        parts = [problem.rstrip(".") + "."]
        if received is not None:
            parts.append(f"Received: {received}.")
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join(" ".join(parts).split()))


class TrainingDiverged(RuntimeError):
    """The loss or the gradient became NaN or infinite; the message names the step. Exit code 1."""


class TrainingStopped(Exception):
    """What watched a training has ended it, since there was no hope in it: neither a failure nor an end."""


class CellsFailed(Exception):
    """Some experiments of a grid failed; the others are done."""
