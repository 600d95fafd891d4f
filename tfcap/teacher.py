"""The captioner that a finished run has trained, for another run to score with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfcap.data.subwords import Tokenizer, tokenizer_in
from tfcap.errors import InputError
from tfcap.models.contents import check_same
from tfcap.run_folder import contents_of, description_of
from tfcap.scoring_plan import sees_regions
from tfcap.settings import Settings
from tfcap.training import checkpoint


def teacher_in(
    run: Path, settings: Settings, as_proxy: Settings, tokenizer: Tokenizer, contents: Mapping[str, str]
) -> Path:
    """Returns the best checkpoint of the run that --teacher names, which holds what was trained there.

    Args:
      settings: of the experiment that scores with it.
      as_proxy: those of its proxy, in whose place the teacher stands.
      tokenizer: of the experiment.
      contents: what the experiment's pretrained parts are, by flag, from `tfcap.models.contents`.

    Raises:
      InputError: there is none, it knows other words, or what of it was frozen is something else than in the proxy.
    """
    path = checkpoint.find(run / "checkpoints", checkpoint.BEST)
    if path is None:
        raise InputError(
            "The teacher has no trained checkpoint",
            received=f"--teacher={run}",
            expected="the folder of a finished run",
        )
    if tokenizer_in(run, tokenizer.max_tokens).hash != tokenizer.hash:
        raise InputError(
            "The teacher knows other words",
            received=f"--teacher={run}",
            expected="a run with the same vocabulary, on the same data set or on any part of it",
        )
    theirs, _ = description_of(run)
    shapes = ["encoder", "norm", "width", "checkpoint", "train", "lora_alpha"]
    seen_alike = theirs.model.freeze_encoder or settings.training.knowledge_distillation
    shapes += ["image_size"] if seen_alike else []
    differing = [name for name in shapes if as_proxy.get(name) != theirs.get(name)]
    weights = {theirs.model.encoder_weights, as_proxy.model.encoder_weights}
    if theirs.model.freeze_encoder and len(weights) == 2 and "imagenet" in weights:  # of which no content is known
        differing.append("encoder_weights")
    if differing:
        raise InputError(
            "The teacher is another captioner than the proxy",
            received=" ".join(f"--{name}={theirs.get(name)}" for name in differing),
            expected=" ".join(f"--{name}={as_proxy.get(name)}" for name in differing),
        )
    _check_features(theirs, settings)
    frozen = ["encoder_weights"] if theirs.model.freeze_encoder else []
    frozen += ["checkpoint"] if theirs.model.train not in ("all", "decoder") else []
    now = {flag: contents[flag] for flag in frozen if flag in contents}
    check_same(contents_of(run), now, f"when the teacher {run} began", "Put back what was there, or take no --teacher.")
    return path


def _check_features(theirs: Settings, ours: Settings) -> None:
    """Raises InputError if the teacher was trained on features of another form than the proxy is given."""
    forms = {False: "one vector an image", True: "one vector a region"}
    trained, given = sees_regions(theirs, theirs.model.model), sees_regions(ours, ours.selection.proxy)
    if trained != given:
        raise InputError(
            f"The teacher was trained on other features than --model={ours.model.model} leaves for the proxy",
            received=forms[trained],
            expected=forms[given],
            remedy=f"Let the teacher be a proxy of such a run, or choose --model={theirs.model.model}.",
        )
