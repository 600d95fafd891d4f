"""One experiment, stage after stage; a stage whose output is there and valid is not done again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import tfrecords_builder
from tfcap import export, registry
from tfcap.data.feature_cache import features
from tfcap.data.masks import Mask
from tfcap.data.pipeline import Batch, Captions, Inputs, SequentialBatches, TrainingBatches
from tfcap.data.records import Records
from tfcap.data.text import WordTokenizer
from tfcap.errors import InputError
from tfcap.evaluation.caption_metrics import Evaluation, evaluate
from tfcap.evaluation.cider import CiderScorer
from tfcap.files import atomic_folder, read_json, write_json
from tfcap.models.build import build_captioner, build_encoder
from tfcap.models.captioner import Captioner
from tfcap.models.encoders import Encoder
from tfcap.reporting.curves import training_curves
from tfcap.reporting.pictures import Sample, samples_sheet, sheet_pixels
from tfcap.reporting.tables import metrics_table
from tfcap.run_folder import RunFolder
from tfcap.scoring import score_store
from tfcap.scoring.signal import score
from tfcap.selection import Signals, budget_of
from tfcap.settings import Settings
from tfcap.training import checkpoint
from tfcap.training.decoding import Decoder
from tfcap.training.loop import Training
from tfcap.training.step import example_losses, values_of
from tfcap.training.strategy import connect

T = TypeVar("T")
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished experiment found and where it lies."""

    run_dir: Path
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Returns the table of metrics and where to look, for the terminal."""
        places = {
            "results": self.run_dir,
            "pictures": self.run_dir / "samples.png",
            "curves": f"tensorboard --logdir {self.run_dir / 'tensorboard'}",
            "caption a picture": f"python -m tfcap.caption --model={self.run_dir / 'saved_model'} picture.jpg",
        }
        if not (self.run_dir / "saved_model").exists():
            del places["caption a picture"]
        lines = [f"  {name:<18} {place}" for name, place in places.items()]
        return "\n".join([metrics_table(self.metrics), "", *lines])


def run(settings: Settings) -> Result:
    """Runs the whole experiment, or what is left of it.

    Raises:
      InputError: the settings or the data cannot be used as they are.
      TrainingDiverged: a loss or gradient was not finite.
    """
    experiment = Experiment(settings.resolve())
    mask = experiment.select()
    experiment.train(mask)
    experiment.evaluate(mask)
    experiment.export()
    return Result(experiment.folder.path, read_json(experiment.folder / "metrics.json"))


class Experiment:
    """The stages of one experiment and what they share.

    Attributes:
      settings: resolved.
      replicas: where steps run.
      folder: of the run.
      records: the three splits of the data set.
      tokenizer: fitted on the whole train split, so that every fraction has one vocabulary.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        policy = "mixed_bfloat16" if settings.training.mixed_precision else "float32"
        keras.config.set_dtype_policy(policy)
        self.replicas = connect(settings.training)
        self.replicas.check_batch_size("batch_size", settings.training.batch_size)
        self.folder = RunFolder(settings, writes=self.replicas.is_chief)
        self.progress = settings.run.progress and self.replicas.is_chief
        built = self._chief_first(lambda: tfrecords_builder.build(settings.data, self.progress))
        self.records = {split: Records(built, split, settings.data.limit) for split in SPLITS}
        self.tokenizer = WordTokenizer.fit(
            (text for texts in self.records["train"].captions for text in texts),
            settings.data.min_word_count,
            settings.data.max_tokens,
        )
        self.captions = {split: Captions(self.records[split], self.tokenizer) for split in ("train", "validation")}
        self.encoder  # noqa: B018 - missing weights are an error before anything is written
        self._chief_first(
            lambda: self.folder.describe({split: records.fingerprint for split, records in self.records.items()})
        )
        if self.replicas.is_chief:
            self.tokenizer.save(self.folder / "vocabulary.txt")

    def _chief_first(self, action: Callable[[], T]) -> T:
        """Returns what the action gives, in the process that writes before it is done in the others."""
        if not self.replicas.is_chief:
            self.replicas.barrier()
        result = action()
        if self.replicas.is_chief:
            self.replicas.barrier()
        return result

    @functools.cached_property
    def encoder(self) -> Encoder | None:
        """The encoder that all captioners of the experiment share, or None where each trains its own."""
        if not self.settings.model.freeze_encoder:
            return None
        with self.replicas.strategy.scope():
            return build_encoder(self.settings)

    @functools.cached_property
    def _features(self) -> dict[str, tuple[np.ndarray, float]]:
        """The cached features of each split and the seconds they took; empty where the encoder trains."""
        encoder = self.encoder
        if encoder is None:
            return {}

        @tf.function(jit_compile=self.settings.training.xla and bool(tf.config.list_physical_devices("GPU")))
        def forward(images: tf.Tensor) -> tf.Tensor:
            return tf.cast(encoder(encoder.preprocess(images), training=False), tf.float32)

        @tf.function
        def run(images: tf.Tensor) -> tf.Tensor:
            return self.replicas.strategy.run(forward, args=(images,))

        def encode(batch: Batch) -> np.ndarray:
            seen = self.replicas.share({"images": batch["images"]})
            return self.replicas.gather(run(self.replicas.split(seen)["images"]))

        identity, cache = encoder.weights_hash(), Path(self.settings.data.data_dir) / "features"
        size = self.replicas.rounded_batch_size(self.settings.evaluation.eval_batch_size)
        return {
            split: features(
                records,
                self.settings.data.image_size,
                identity,
                encode,
                cache,
                size,
                self.progress,
                self.replicas.is_chief,
            )
            for split, records in self.records.items()
        }

    def inputs(self, split: str) -> Inputs:
        """Returns what a captioner sees of a split: cached features, or images augmented in training."""
        array = self._features[split][0] if self._features else None
        augment = self.settings.data.augment if split == "train" else "none"
        return Inputs(self.records[split], self.settings.data.image_size, augment, array)

    def new_captioner(self) -> Captioner:
        """Returns a captioner with its initial weights."""
        with self.replicas.strategy.scope():
            return build_captioner(self.settings, len(self.tokenizer), self.encoder)

    # Scores and selection.

    def select(self) -> Mask:
        """Returns the mask of the kept images, scoring and selecting where no earlier run has."""
        selection, records = self.settings.selection, self.records["train"]
        name, masks = f"{selection.selector}-{selection.fraction:g}", self.folder / "masks"
        budget = budget_of(selection.fraction, len(records))
        if (masks / f"{name}.json").exists():
            return Mask.load(masks, name, records)
        selector = registry.SELECTORS[selection.selector]
        scores = {selector.score: self.scores(selector.score)} if selector.score else {}
        ids = selector(Signals(records.ids, scores), budget, np.random.default_rng(self.settings.run.seed))
        mask = Mask.of(
            ids,
            records,
            selector=selection.selector,
            fraction=selection.fraction,
            seed=self.settings.run.seed,
            score=f"scores/{selector.score}.npy" if selector.score else None,
        )
        if self.replicas.is_chief:
            mask.save(masks, name)
        return mask

    def scores(self, name: str) -> np.ndarray:
        """Returns the scores `name` of the train split, float32 [N], scoring where no earlier run has."""
        folder, records = self.folder / "scores", self.records["train"]
        found = score_store.load(folder, name, records)
        if found is not None:
            return found[0]
        signal = registry.SCORES[name]()
        model, about, train_seconds = self._scoring_captioner(signal.default_epochs(self.settings.training.epochs))
        size = self.replicas.rounded_batch_size(self.settings.selection.score_batch_size)
        plain = Inputs(records, self.settings.data.image_size, "none", self.inputs("train").features)
        batches = SequentialBatches(plain, np.arange(len(records)), size, self.captions["train"])
        seconds = score(signal, model, batches, self.replicas, self.settings.training.xla, folder, name, self.progress)
        if self.replicas.is_chief:
            costs = {"train_seconds": train_seconds, "pass_seconds": seconds, "seconds": train_seconds + seconds}
            score_store.describe(
                folder, name, records, {**about, "unit": signal.unit, "seed": self.settings.run.seed, **costs}
            )
        self.replicas.barrier()
        loaded = score_store.load(folder, name, records)
        if loaded is None:
            raise InputError(f"The scores {name} are gone from {folder}")
        return loaded[0]

    def _scoring_captioner(self, default_epochs: int) -> tuple[Captioner, dict[str, Any], float]:
        """Returns the captioner that scores, what is said of it, and the seconds its training took."""
        selection = self.settings.selection
        if selection.teacher:
            return self._teacher(Path(selection.teacher))
        model = self.new_captioner()
        epochs = selection.proxy_epochs if selection.proxy_epochs is not None else default_epochs
        about = {"model": self.settings.model.model, "encoder": self.settings.model.encoder, "epochs": epochs}
        if epochs == 0:
            return model, {**about, "checkpoint": None}, 0.0
        records = self.records["train"]
        training = self._training(
            model, np.arange(len(records)), epochs, "proxy", title=f"scoring captioner, {epochs} epochs"
        )
        progress = training.run()
        path = checkpoint.find(self.folder / "proxy")
        return model, {**about, "checkpoint": checkpoint.identity(path) if path else None}, progress.seconds

    def _teacher(self, run_dir: Path) -> tuple[Captioner, dict[str, Any], float]:
        """Returns the best captioner of another run on the same data set and with the same architecture."""
        path = checkpoint.find(run_dir / "checkpoints", checkpoint.BEST)
        if path is None:
            raise InputError(
                "The teacher has no trained checkpoint",
                received=f"--teacher={run_dir}",
                expected="the folder of a finished run",
            )
        known = read_json(run_dir / "experiment.json")
        if known["fingerprints"]["train"] != self.records["train"].fingerprint:
            raise InputError(
                "The teacher was trained on other data",
                received=f"--teacher={run_dir}",
                expected="a run on the same data set",
            )
        model = self.new_captioner()
        state = checkpoint.restore(path, model)
        about = {"teacher": str(run_dir), "model": self.settings.model.model, "encoder": self.settings.model.encoder}
        return model, {**about, "epochs": state["epoch"], "checkpoint": checkpoint.identity(path)}, 0.0

    # Training.

    def _training(self, model: Captioner, positions: np.ndarray, epochs: int, folder: str, **more: Any) -> Training:
        batches = TrainingBatches(
            self.inputs("train"),
            self.captions["train"],
            positions,
            self.settings.training.batch_size,
            self.settings.run.seed,
            self.replicas.worker,
        )
        return Training(model, batches, self.settings, epochs, self.replicas, self.folder / folder, **more)

    def train(self, mask: Mask) -> None:
        """Trains a captioner on the kept images, to the last epoch; its best checkpoint stays in the run folder."""
        if (self.folder / "history.json").exists():
            return
        model = self.new_captioner()
        validation = Validation(self, model)
        training = self._training(
            model,
            mask.positions,
            self.settings.training.epochs,
            "checkpoints",
            validate=validation.run,
            log=validation.log,
        )
        progress = training.run()
        validation.close()
        if self.replicas.is_chief:
            training_curves(self.folder / "curves.png", progress.history)
            write_json(
                self.folder / "history.json", {**progress.history, "steps": progress.step, "seconds": progress.seconds}
            )
        self.replicas.barrier()

    def best_captioner(self) -> Captioner:
        """Returns the captioner with the weights that validation picked."""
        model = self.new_captioner()
        path = checkpoint.find(self.folder / "checkpoints", checkpoint.BEST)
        if path is None:
            raise InputError(f"The run {self.folder.path} has no best checkpoint", remedy="Run with --noresume.")
        checkpoint.restore(path, model)
        return model

    def decoder(self, model: Captioner, beams: int) -> Decoder:
        """Returns a decoder of the model with this many beams."""
        return Decoder(
            model,
            self.tokenizer,
            self.replicas,
            beams=beams,
            length_penalty=self.settings.evaluation.length_penalty,
            xla=self.settings.training.xla,
        )

    # Evaluation and export.

    def evaluate(self, mask: Mask) -> None:
        """Writes the test split's captions, metrics and sample pictures."""
        if (self.folder / "metrics.json").exists():
            return
        evaluation, records = self.settings.evaluation, self.records["test"]
        decoder = self.decoder(self.best_captioner(), evaluation.beams)
        texts, _ = decoder.captions(
            self.inputs("test"), np.arange(len(records)), evaluation.eval_batch_size, "test captions", self.progress
        )
        if self.replicas.is_chief:
            ids = [int(image_id) for image_id in records.ids]
            found = evaluate(
                dict(zip(ids, records.captions, strict=True)),
                dict(zip(ids, texts, strict=True)),
                java=evaluation.java,
                resamples=evaluation.bootstrap_resamples,
                seed=self.settings.run.seed,
            )
            write_json(
                self.folder / "captions.json",
                [{"image_id": image_id, "caption": text} for image_id, text in zip(ids, texts, strict=True)],
            )
            self._draw_samples(texts, found)
            write_json(
                self.folder / "metrics.json", {**found.metrics, "tokenizer": found.tokenizer, **self._costs(mask)}
            )
        self.replicas.barrier()

    def _costs(self, mask: Mask) -> dict[str, Any]:
        history = read_json(self.folder / "history.json")
        kept, steps, seconds = len(mask.ids), history["steps"], history["seconds"]
        about = (
            score_store.load(self.folder / "scores", mask.about["score"].split("/")[1][:-4], self.records["train"])
            if mask.about["score"]
            else None
        )
        return {
            "examples_total": len(mask.mask),
            "examples_kept": kept,
            "steps_per_second": steps / seconds if seconds else None,
            "images_per_second": self.settings.training.epochs * kept / seconds if seconds else None,
            "train_seconds": seconds,
            "scoring_seconds": about[1]["seconds"] if about else 0.0,
            "features_seconds": sum(seconds for _, seconds in self._features.values()),
        }

    def _draw_samples(self, texts: list[str], found: Evaluation) -> None:
        """Draws test pictures chosen by the seed, not by their score."""
        records, count = self.records["test"], min(self.settings.evaluation.samples, len(texts))
        chosen = np.sort(np.random.default_rng(self.settings.run.seed).permutation(len(texts))[:count])
        samples = [
            Sample(
                records.picture(i),
                texts[i],
                records.captions[i],
                float(found.per_image["CIDEr"][i]),
                f"image {records.ids[i]}",
            )
            for i in chosen
        ]
        samples_sheet(self.folder / "samples.png", samples)

    def export(self) -> None:
        """Writes the SavedModel of the best captioner, unless it is there or not wanted."""
        target = self.folder / "saved_model"
        if not self.settings.evaluation.export or target.exists() or not self.replicas.is_chief:
            return
        evaluation = self.settings.evaluation
        model = build_captioner(
            self.settings, len(self.tokenizer)
        )  # outside the strategy: a SavedModel is of one device
        path = checkpoint.find(self.folder / "checkpoints", checkpoint.BEST)
        if path is None:
            raise InputError(f"The run {self.folder.path} has no best checkpoint", remedy="Run with --noresume.")
        checkpoint.restore(path, model)
        with atomic_folder(target) as folder:
            export.save(
                folder,
                model,
                self.tokenizer,
                image_size=self.settings.data.image_size,
                beams=evaluation.beams,
                length_penalty=evaluation.length_penalty,
            )


class Validation:
    """Scores the captioner on the validation split and shows it in TensorBoard."""

    PICTURES = 6

    def __init__(self, experiment: Experiment, model: Captioner) -> None:
        self.experiment, self.model = experiment, model
        self.records = experiment.records["validation"]
        self.inputs = experiment.inputs("validation")
        self.ids = [int(image_id) for image_id in self.records.ids]
        self.scorer = CiderScorer(dict(zip(self.ids, self.records.captions, strict=True)))
        self.decoder = experiment.decoder(model, beams=1)
        self._losses = example_losses(model, experiment.settings.training.xla)
        self._step = 0
        self._writer = (
            tf.summary.create_file_writer(str(experiment.folder / "tensorboard"))
            if experiment.replicas.is_chief
            else None
        )

    def run(self) -> dict[str, float]:
        """Returns the mean loss over validation images and the CIDEr of greedy captions."""
        size = self.experiment.settings.evaluation.eval_batch_size
        positions = np.arange(len(self.ids))
        texts, _ = self.decoder.captions(self.inputs, positions, size, "validation captions", self.experiment.progress)
        cider, per_image = self.scorer.score(dict(zip(self.ids, texts, strict=True)))
        self._show(texts, per_image)
        return {"val_loss": self._loss(size), "val_CIDEr": cider}

    def _loss(self, size: int) -> float:
        replicas = self.experiment.replicas
        batches = SequentialBatches(
            self.inputs,
            np.arange(len(self.ids)),
            replicas.rounded_batch_size(size),
            self.experiment.captions["validation"],
        )
        state = self.model.non_trainable_variables

        @tf.function
        def run(inputs: Any) -> tf.Tensor:
            return replicas.strategy.run(
                lambda part: self._losses(values_of(self.model.trainable_variables), values_of(state), part),
                args=(inputs,),
            )

        total = 0.0
        for block, batch in zip(batches.blocks, batches, strict=True):
            del batch["position"]
            total += float(replicas.gather(run(replicas.split(replicas.share(batch))))[: len(block)].sum())
        return total / len(self.ids)

    def log(self, step: int, scalars: dict[str, float]) -> None:
        """Writes scalars to TensorBoard."""
        self._step = step
        if self._writer is not None:
            with self._writer.as_default(step):
                for name, value in scalars.items():
                    tf.summary.scalar(name, value)

    def _show(self, texts: list[str], per_image: np.ndarray) -> None:
        """Writes the first pictures with their captions to TensorBoard."""
        if self._writer is None:
            return
        samples = [
            Sample(self.records.picture(i), texts[i], self.records.captions[i], float(per_image[i]))
            for i in range(min(self.PICTURES, len(texts)))
        ]
        with self._writer.as_default(self._step):
            tf.summary.image("captions", sheet_pixels(samples)[None])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
