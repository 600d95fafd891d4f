"""What captions of a split are worth: captions.json, per_image.json, samples.png and metrics.json, in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.data.records import Records
from tfcap.evaluation import classification
from tfcap.evaluation.caption_metrics import Evaluation, evaluate
from tfcap.evaluation.quality import ACCURACY
from tfcap.files import write_json
from tfcap.reporting.pictures import Sample, samples_sheet
from tfcap.settings import Settings

RESULTS = ("metrics.json", "samples.png", "per_image.json", "captions.json")  # the last written first


def write_results(
    folder: Path, records: Records, texts: Sequence[str], settings: Settings, costs: Mapping[str, Any]
) -> None:
    """Scores one caption a record and writes the results, metrics.json last: where that is, all are.

    Args:
      texts: in record order.
      costs: what else metrics.json says.
    """
    evaluation, ids = settings.evaluation, [int(image_id) for image_id in records.ids]
    references, said = dict(zip(ids, records.captions, strict=True)), dict(zip(ids, texts, strict=True))
    if settings.quality == ACCURACY:
        found = classification.evaluate(references, said)
    else:
        found = evaluate(
            references,
            said,
            java=evaluation.java,
            resamples=evaluation.bootstrap_resamples,
            seed=settings.run.seed,
        )
    write_json(
        folder / "captions.json",
        [{"image_id": image_id, "caption": text} for image_id, text in zip(ids, texts, strict=True)],
    )
    write_json(
        folder / "per_image.json",
        {"image_id": ids, **{name: values.tolist() for name, values in found.per_image.items()}},
    )
    _draw_samples(folder / "samples.png", records, texts, found, settings)
    write_json(folder / "metrics.json", {**found.metrics, "tokenizer": found.tokenizer, **costs})


def _draw_samples(path: Path, records: Records, texts: Sequence[str], found: Evaluation, settings: Settings) -> None:
    """Draws pictures chosen by the seed, not by their score."""
    count = min(settings.evaluation.samples, len(texts))
    chosen = np.sort(np.random.default_rng(settings.run.seed).permutation(len(texts))[:count])
    quality = settings.quality
    samples = [
        Sample(
            records.picture(i),
            texts[i],
            records.captions[i],
            float(found.per_image[quality][i]),
            f"image {records.ids[i]}",
            quality == ACCURACY,
        )
        for i in chosen
    ]
    samples_sheet(path, samples)
