"""What the chosen selector needs of scoring captioners: which signals, after how long a training, tracking what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfcap import registry
from tfcap.chosen_selector import asked, chosen_selector, used_by_selector
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.files import hash_of
from tfcap.scoring import training_dynamics
from tfcap.scoring.embedding import Embedding
from tfcap.scoring.gradient_sketch import GradientSketch
from tfcap.scoring.signal import EpochsSignal, PairSignal, Signal, TextSignal
from tfcap.selection import EMBEDDING, SKETCHES
from tfcap.settings import NEUTRAL, Settings

# What experiments may differ in and have the same scores; the length of the scoring captioner's training is counted by
# itself, and what evaluates the experiment's own captioner is no part of it.
_NOT_OF_SCORES = (
    *("selector", "fraction", "selection_score", "noise_cut", "strata", "clusters", "neighbours", "mixture", "targets"),
    *("class_balanced", "model", "epochs", "proxy_epochs", "validate_every", "track", "budget_steps"),
    *("knowledge_distillation", "kd_alpha", "kd_temperature"),
)


class ScoringPlan:
    """What scores an experiment needs.

    Attributes:
      signals: those that a captioner gives, by name.
      files: the names of all score files.
      tracked: the scores that the scoring captioner's training must have tracked.
      of_pairs: the scores that a pretrained dual encoder gives.
      of_texts: those that captions alone give, by name.
      length: epochs of the scoring captioner's schedule; 0 where none is trained for it.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises InputError where the settings ask for scoring captioners that cannot be."""
        self.settings, selector = settings, chosen_selector(settings)
        made = {name: registry.SCORES[name](settings.selection) for name in selector.scores}
        if EMBEDDING in selector.needs and not settings.model.freeze_encoder:
            made["embedding"] = Embedding(settings.selection)
        if SKETCHES in selector.needs:
            made["gradient_sketch"] = GradientSketch(settings.selection)
        self.files = [name for name in made if name != "gradient_sketch"]
        if "gradient_sketch" in made:
            self.files += ["gradient_sketch-train", "gradient_sketch-validation"]
        self.signals = {name: signal for name, signal in made.items() if isinstance(signal, Signal)}
        self.tracked = [name for name, signal in made.items() if isinstance(signal, EpochsSignal)]
        self.of_texts = {name: signal for name, signal in made.items() if isinstance(signal, TextSignal)}
        self.of_pairs = [name for name, signal in made.items() if isinstance(signal, PairSignal)]
        for signal in made.values():
            if isinstance(signal, Signal | PairSignal):
                signal.check_settings(settings)
        self.length = self._length()

    def _length(self) -> int:
        selection, epochs = self.settings.selection, self.settings.training.epochs
        lengths = {name: signal.moments(self.settings)[0] for name, signal in self.signals.items()}
        tracked = selection.proxy_epochs if selection.proxy_epochs is not None else epochs
        lengths |= dict.fromkeys(self.tracked, tracked)
        if self.settings.training.knowledge_distillation:
            lengths["knowledge_distillation"] = tracked
        if selection.teacher:
            lengths = {name: lengths[name] for name, signal in self.signals.items() if signal.against_teacher}
        if len(set(lengths.values())) > 1:
            raise InputError(
                "The scores of this selector come from captioners trained for different times",
                received=asked(selection),
                expected="--proxy_epochs or --teacher, so that one captioner gives " + " and ".join(lengths),
            )
        return next(iter(lengths.values()), 0)

    def used(self) -> set[str]:
        """Returns which flags of selection can change what is kept."""
        selection, signals = self.settings.selection, self.signals.values()
        taught = self.settings.training.knowledge_distillation
        of_teacher = {"teacher"} | (set() if selection.teacher else {"proxy", "proxy_epochs"}) if taught else set()
        if selection.fraction == 1:
            return {"fraction"} | of_teacher
        used = {"selector", "fraction", "level", "class_balanced"} | used_by_selector(selection) | of_teacher
        if self.of_pairs:
            used |= {"dual_encoder"}
        if "gradient_sketch" in self.signals:
            used |= {"targets", "sketch_dimensions", "sketch_type"}
        if "forgetting" in self.tracked:
            used |= {"learnt_accuracy"}
        if set(self.signals) - {"embedding"}:
            used |= {"token_reduction"}
        if self.tracked or self.signals:
            used |= {"teacher"}
            if not selection.teacher or any(signal.against_teacher for signal in signals):
                used |= {"proxy", "proxy_epochs"}
                used |= {"score_seeds", "score_epochs"} if any(signal.averages for signal in signals) else set()
        return used

    def check_tracked(self, records: Records) -> None:
        """Raises InputError where the scores that a training must have tracked cannot be had."""
        selection = self.settings.selection
        for name in self.tracked:
            if selection.level == "pair":
                raise InputError(
                    f"{name} is of images, of which training sees one caption an epoch",
                    received="--level=pair",
                    expected="--level=image, or another score",
                )
            if selection.score_seeds > 1 or selection.score_epochs:
                raise InputError(
                    f"{name} is of one training, over all of its epochs",
                    received=f"--score_seeds={selection.score_seeds} --score_epochs={selection.score_epochs}",
                    expected="neither of them",
                )
            if selection.teacher:
                training_dynamics.of_teacher(Path(selection.teacher), name, records)
            elif selection.proxy_epochs == 0:
                raise InputError(
                    f"{name} is counted while the scoring captioner trains",
                    received="--proxy_epochs=0",
                    expected="one epoch or more",
                )

    def shared_folder(self, fingerprint: str, contents: Mapping[str, str] | None = None) -> Path:
        """Returns the folder under --scoring_dir of all runs that score this data with the same captioner.

        Args:
          contents: of pretrained parts, by flag, from `tfcap.models.contents`.
        """
        groups = self.settings.beside(self.settings.selection.proxy).to_json()
        del groups["evaluation"]
        flat = {name: value for fields in groups.values() for name, value in fields.items()}
        counted = {name: value for name, value in flat.items() if name not in NEUTRAL and name not in _NOT_OF_SCORES}
        # A file of Keras' weights counts by its name, as it did before contents were known: what is shared stays there.
        behind = {flag: digest for flag, digest in (contents or {}).items() if not flat[flag].endswith(".h5")}
        more = [*self._seen_otherwise(), *([behind] if behind else [])]
        name = hash_of(counted, self.length, self.tracked, fingerprint, *more)[:16]
        return Path(self.settings.run.scoring_dir) / f"{self.settings.data.dataset}-{name}"

    def _seen_otherwise(self) -> list[str]:
        """Returns the form of the cached features if the scoring captioner by itself would be given another."""
        proxy = self.settings.selection.proxy
        given = sees_regions(self.settings, proxy)
        alone = registry.CAPTIONERS[proxy].sees_regions(self.settings.beside(proxy).model)
        return ["regions" if given else "one vector"] if given != alone else []


def sees_regions(settings: Settings, name: str) -> bool:
    """Returns whether the captioner `name` of an experiment is given features of regions.

    Where the encoder is frozen, the experiment's own captioner decides on the features that all of them share.
    """
    decides = settings.model.model if settings.model.freeze_encoder else name
    return registry.CAPTIONERS[decides].sees_regions(settings.beside(decides).model)
