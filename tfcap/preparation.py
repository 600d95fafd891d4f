"""What the stages of an experiment share, made once: data, features, captioners, and where they run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import tfrecords_builder
from tfcap import registry
from tfcap.data.classes import ClassNames
from tfcap.data.feature_cache import features
from tfcap.data.pairs import Pairs
from tfcap.data.pipeline import Batch, Captions, Inputs, SequentialBatches, TrainingBatches
from tfcap.data.record_index import Examples
from tfcap.data.records import Records
from tfcap.data.subwords import Tokenizer, tokenizer_in
from tfcap.data.text import WordTokenizer
from tfcap.effects import CLASSIFIER
from tfcap.evaluation.tokenizer import tokenize
from tfcap.files import locked
from tfcap.models.build import build_captioner, build_encoder
from tfcap.models.captioner import Captioner
from tfcap.models.checkpoints import folder_of
from tfcap.models.contents import check_same, contents_behind
from tfcap.models.encoders import Encoder
from tfcap.models.generation import Decoding
from tfcap.run_folder import RunFolder, remove_partials_under
from tfcap.scoring import training_dynamics
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.scoring.tracking import needs_norms, tracking_of
from tfcap.scoring_plan import ScoringPlan
from tfcap.selection import budget_of
from tfcap.settings import Settings
from tfcap.teacher import teacher_in
from tfcap.training import checkpoint
from tfcap.training.decoding import Decoder
from tfcap.training.loop import Training
from tfcap.training.replicated import replicated
from tfcap.training.step import Tensors
from tfcap.training.strategy import connect

if TYPE_CHECKING:
    from tfcap.models.dual_encoder import Pretrained

T = TypeVar("T")
SPLITS = ("train", "validation", "test")


def named_tokenizer(settings: Settings) -> Tokenizer | None:
    """Returns the tokenizer that the settings name, or None where they name none."""
    for flag in ("tokenizer", "checkpoint"):
        where = settings.get(flag)
        if where:
            return tokenizer_in(folder_of(where, flag), settings.data.max_tokens)
    return None


def tokenizer_of(settings: Settings, train: Records) -> Tokenizer:
    """Returns the tokenizer that the settings name, or one of the words of the whole train split, for all fractions.

    That of a classifier is of the names of the classes.
    """
    if settings.model.model == CLASSIFIER:
        return ClassNames.of(train.captions)
    texts = (text for texts in train.captions for text in texts)
    return named_tokenizer(settings) or WordTokenizer.fit(texts, settings.data.min_word_count, settings.data.max_tokens)


class Preparation:
    """What the stages of an experiment share: the data, the encoder's features, new captioners, where they run.

    Attributes:
      settings: resolved.
      replicas: where steps run.
      plan: what the selector needs of scoring captioners.
      folder: of the run.
      records: the three splits of the data set.
      examples: what of train and validation is scored and selected: the records, or their pairs.
      tokenizer: fitted on the whole train split, so that every fraction has one vocabulary.
      scoring: the folder of scores and of the captioners that give them: the run's, or one that runs share.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        policy = "mixed_bfloat16" if settings.training.mixed_precision else "float32"
        keras.config.set_dtype_policy(policy)
        self.replicas = connect(settings.training)
        self.replicas.check_batch_size("batch_size", settings.training.batch_size)
        self.plan = ScoringPlan(settings)
        self.folder = RunFolder(settings, writes=self.replicas.is_chief)
        self.progress = settings.run.progress and self.replicas.is_chief
        built = self.chief_first(lambda: tfrecords_builder.build(settings.data, self.progress))
        self.records = {split: Records(built, split, settings.data.limit) for split in SPLITS}
        self.tokenizer = tokenizer_of(settings, self.records["train"])
        pairs = settings.selection.level == "pair"
        self.examples: dict[str, Examples] = {
            split: Pairs(self.records[split]) if pairs else self.records[split] for split in ("train", "validation")
        }
        self.captions = {split: Captions(self.records[split], self.tokenizer) for split in ("train", "validation")}
        if isinstance(self.tokenizer, ClassNames):
            self.tokenizer.encode([name for names in self.records["test"].captions for name in names])
        self._check_before_writing()
        fingerprints = {split: records.fingerprint for split, records in self.records.items()}
        contents, data_set = self.contents, self.records["train"].data_set
        self.chief_first(lambda: self.folder.describe(fingerprints, contents, data_set))
        if self.replicas.is_chief:
            self.tokenizer.save(self.folder / self.tokenizer.saved_as)
        self.scoring = self._scoring_folder()

    def _check_before_writing(self) -> None:
        """Raises InputError for what a later stage would find out, as long as the run folder is untouched."""
        registry.ENCODERS[self.settings.model.encoder].check_image_size(self.settings.data.image_size)
        self.encoder  # noqa: B018 - its weights may be missing
        teacher, proxy = self.teacher, self.settings.selection.proxy
        if not self.folder.is_begun:
            made = functools.cache(self.new_captioner)
            made(self.settings.model.model)  # its weights may be missing, damaged or of another kind
            for signal in self.plan.signals.values():
                signal.check_captioner(made(proxy))
            if teacher is not None:
                checkpoint.restore(teacher, made(proxy))
        budget_of(self.settings.selection.fraction, len(self.examples["train"]))
        self.plan.check_tracked(self.records["train"])
        for text_signal in self.plan.of_texts.values():
            text_signal.check_captions(self.records["train"].captions)
        for name in self.plan.of_pairs:
            if not (self.settings.run.resume and (self.folder / "scores" / f"{name}.json").exists()):
                self.dual_encoder  # noqa: B018 - it may be missing, damaged or of another kind
        if self.settings.evaluation.java == "require":
            tokenize({0: ["a word"]}, "require")

    def _scoring_folder(self) -> Path:
        if not self.settings.run.scoring_dir:
            return self.folder.path
        link = self.folder / "scores"
        if link.is_symlink() and link.is_dir():
            return link.resolve().parent  # where this run began to score, whatever the folder would be called today
        shared = self.plan.shared_folder(self.records["train"].fingerprint, self.contents)
        self.folder.link("scores", shared / "scores")
        return shared

    @contextlib.contextmanager
    def alone_in_scoring(self) -> Iterator[None]:
        """Keeps other runs from scoring where this one does, after it has waited for one that is about it."""
        mine = self.scoring == self.folder.path or not self.replicas.is_chief
        with contextlib.nullcontext() if mine else locked(self.scoring / ".lock"):
            if not mine:
                remove_partials_under(self.scoring)
            self.replicas.barrier()
            yield

    def chief_first(self, action: Callable[[], T]) -> T:
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
    def dual_encoder(self) -> Pretrained:
        """The CLIP that --dual_encoder names."""
        from tfcap.models.dual_encoder import pretrained  # KerasHub takes a while to import

        with self.replicas.strategy.scope():
            return pretrained(self.settings.selection.dual_encoder)

    @functools.cached_property
    def teacher(self) -> Path | None:
        """The best checkpoint of the run that --teacher names."""
        run, proxy = self.settings.selection.teacher, self.settings.selection.proxy
        if not run:
            return None
        return teacher_in(Path(run), self.settings, self.settings.beside(proxy), self.tokenizer, self.contents)

    @functools.cached_property
    def contents(self) -> dict[str, str]:
        """What lies behind the names of pretrained parts, by flag."""
        return contents_behind(dataclasses.asdict(self.settings.model))

    def check_contents(self) -> None:
        """Raises InputError where that is something else now than when this process began."""
        now = contents_behind(dataclasses.asdict(self.settings.model))
        check_same(self.contents, now, "when this command began", "Put back what was there, and run it again.")

    @functools.cached_property
    def _features(self) -> dict[str, tuple[np.ndarray, float]]:
        """The cached features of each split and the seconds they took; empty where the encoder trains."""
        encoder = self.encoder
        if encoder is None:
            return {}

        # On CPUs the convolutions of TensorFlow's own library are faster than XLA's.
        @tf.function(jit_compile=self.settings.training.xla and bool(tf.config.list_physical_devices("GPU")))
        def forward(parameters: Tensors, state: Tensors, inputs: Batch) -> tf.Tensor:
            features, _ = encoder.stateless_call(parameters, state, encoder.preprocess(inputs["images"]))
            return tf.cast(features, tf.float32)

        on_replicas = replicated(encoder, forward, self.replicas)

        def encode(batch: Batch) -> np.ndarray:
            return on_replicas({"images": batch["images"]})

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
                self.replicas.barrier,
            )
            for split, records in self.records.items()
        }

    @property
    def features_seconds(self) -> float:
        """Seconds that the cached features of all splits took, in whichever run made them."""
        return sum(seconds for _, seconds in self._features.values())

    def inputs(self, split: str) -> Inputs:
        """Returns what a captioner sees of a split: cached features, or images augmented in training."""
        array = self._features[split][0] if self._features else None
        augment = self.settings.data.augment if split == "train" else "none"
        return Inputs(self.records[split], self.settings.data.image_size, augment, array)

    def embeddings(self, split: str) -> np.ndarray:
        """Returns what the frozen encoder makes of each image, its mean where that is a map: float32 [N, D]."""
        array = self._features[split][0]
        if array.ndim == 2:
            return array
        return np.stack([image.reshape(-1, image.shape[-1]).mean(axis=0) for image in array])

    @property
    def labels(self) -> np.ndarray:
        """The class of each example of train, int64 [N]; of classifiers alone."""
        return self.captions["train"].tokens[self.examples["train"].images, 0].astype(np.int64)

    def new_captioner(self, name: str = "", seed: int | None = None) -> Captioner:
        """Returns a captioner with its initial weights: the experiment's own, or another by name or by seed."""
        settings = self._with_seed(seed)
        settings = settings.beside(name) if name else settings
        with self.replicas.strategy.scope():
            return build_captioner(settings, len(self.tokenizer), self.encoder, self.tokenizer.marks)

    def _with_seed(self, seed: int | None) -> Settings:
        return self.settings if seed is None else self.settings.replace(seed=seed)

    def training(
        self,
        model: Captioner,
        positions: np.ndarray,
        epochs: int,
        folder: Path,
        track: Sequence[str] = (),
        *,
        seed: int | None = None,
        **more: Any,
    ) -> Training:
        """Returns the training of a captioner on examples of train, its checkpoints in a folder.

        Args:
          seed: of order, captions, augmentation and dropout; the experiment's own unless it is said.
          positions: int64 [k], of the examples. Of an image whose pairs are not all there, only those are drawn.
          track: the signals that it keeps of each image.
        """
        captions, examples, settings = self.captions["train"], self.examples["train"], self._with_seed(seed)
        if isinstance(examples, Pairs):
            kept = np.zeros(len(examples), bool)
            kept[positions] = True
            captions, positions = captions.only(kept), np.unique(examples.images[positions])
        batches = TrainingBatches(
            self.inputs("train"),
            captions,
            positions,
            settings.training.batch_size,
            settings.run.seed,
            self.replicas.worker,
        )
        selection = self.settings.selection
        if needs_norms(track):
            two = SequentialBatches(self.inputs("train"), positions[:2], 2, self.captions["train"])
            GradientNorm(selection).check(model, two)
        tracking = tracking_of(track, model, selection) if track else None
        return Training(
            model,
            batches,
            settings,
            epochs,
            self.replicas,
            folder,
            tracking=tracking,
            **more,
        )

    def keep_dynamics(self, training: Training, folder: Path) -> None:
        """Writes what a training tracked into a folder; returns when all workers can read it."""
        if self.replicas.is_chief:
            about = {"images": len(training.batches.positions), "seed": self.settings.run.seed}
            training_dynamics.save(folder, training.dynamics, self.records["train"], about)
        self.replicas.barrier()

    def decoder(self, model: Captioner, decoding: Decoding) -> Decoder:
        """Returns a decoder of the model that chooses words so."""
        return Decoder(model, self.tokenizer, self.replicas, decoding, xla=self.settings.training.xla)
