"""MLflow: at MLFLOW_TRACKING_URI, or in an SQLite file beside the run's folder, where runs lie side by side."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping

import numpy as np

from tfcap.files import locked
from tfcap.trackers import TrackedRun

_TAG = "tfcap.run"
_BATCH = 100  # parameters that a server takes at once
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLflow:
    """A run of the experiment that MLFLOW_EXPERIMENT_NAME names, or tfcap; a resumed one finds it again by a tag."""

    def __init__(self, run: TrackedRun) -> None:
        # By themselves they make a step wait for minutes when the server is away.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # which importing it has set; it tells of its tables
        named, here = os.environ.get("MLFLOW_TRACKING_URI"), run.folder.resolve().parent
        with locked(here / ".mlflow.lock"):  # of runs side by side one makes the tables and the experiment
            self._client = MlflowClient(tracking_uri=named or f"sqlite:///{here / 'mlflow.db'}")
            self._id = self._begun(run, None if named else (here / "mlflow").as_uri())
        params = [Param(key, str(value)) for key, value in run.settings.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self._id, params=params[start : start + _BATCH])

    def _begun(self, run: TrackedRun, artifacts: str | None) -> str:
        """Returns the id of the run, begun anew or gone on with."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "tfcap")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name, artifacts)
        runs = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.identity}'")
        if not runs:
            tags = {_TAG: run.identity}
            return str(self._client.create_run(experiment, run_name=run.folder.name, tags=tags).info.run_id)
        self._client.update_run(runs[0].info.run_id, status="RUNNING")
        return str(runs[0].info.run_id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._id, [Metric(key, float(value), now, step) for key, value in values.items()])

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Shows nothing: a store of numbers alone needs no place for files."""

    def results(self, values: Mapping[str, float]) -> None:
        self.scalars(0, values)

    def close(self, status: str) -> None:
        self._client.set_terminated(self._id, _STATUS[status])
