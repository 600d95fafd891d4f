"""What settings that were not said become, by data set, captioner and encoder, and which do not go together."""

from __future__ import annotations

from typing import Any

from tfcap.errors import InputError
from tfcap.settings import Settings

# What None stands for, by data set and then by encoder. `scenes` trains a small encoder from scratch in minutes.
_FOR_SCENES: dict[str, dict[str, Any]] = {
    "model": {"encoder": "small_resnet", "units": 256, "embedding_size": 128, "shape": "tiny"},
    "training": {"epochs": 25, "batch_size": 50, "validate_every": 5},
}
_FOR_PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "model": {"encoder": "resnet50", "units": 512, "embedding_size": 512, "shape": "base"},
    "training": {"epochs": 30, "batch_size": 128, "validate_every": 1},
}

# Captioners whose encoder is the one in their name whatever the data set, unless --encoder says otherwise.
OWN_ENCODER = {"vgg19_lstm": "vgg19"}
# Captioners with an encoder of their own on photographs, or on any data set if it comes out of their --checkpoint.
_ON_PHOTOGRAPHS = {"clip_gpt2": "clip_vit_b32", "vit_gpt2": "vit_b16", "vit_llama": "vit_b16"}
_IN_CHECKPOINT = {"vit_gpt2": "vit", "git": "git_vit"}
# Parts of a captioner that --train names, and in which the encoder learns too.
_ENCODER_TRAINS = ("all", "encoder")


def resolved(settings: Settings) -> Settings:
    """Returns a copy in which every None has become the value that suits data set, captioner and encoder."""
    defaults = _FOR_SCENES if settings.data.dataset == "scenes" else _FOR_PHOTOGRAPHS
    flat = {name: value for group in defaults.values() for name, value in group.items()}
    flat["encoder"] = _own_encoder(settings) or flat["encoder"]
    settings = settings.replace(**{name: value for name, value in flat.items() if settings.get(name) is None})
    small = settings.model.encoder == "small_resnet"
    weights = settings.model.encoder_weights or _own_weights(settings) or ("none" if small else "imagenet")
    frozen = weights != "none" if settings.model.train is None else settings.model.train not in _ENCODER_TRAINS
    encoder = {"encoder_weights": weights, "image_size": 64 if small else 224, "freeze_encoder": frozen}
    settings = settings.replace(**{name: value for name, value in encoder.items() if settings.get(name) is None})
    if settings.model.train is None:
        settings = settings.replace(train="decoder" if settings.model.freeze_encoder else "all")
    if settings.model.image_dropout is None:
        settings = settings.replace(image_dropout=settings.model.dropout)
    if settings.model.tie_embeddings is None:
        same = settings.model.embedding_size == settings.model.units
        settings = settings.replace(tie_embeddings=same and settings.data.dataset != "scenes")
    if settings.selection.proxy is None:
        settings = settings.replace(proxy=settings.model.model)
    if settings.data.augment is None:  # a cached feature has one view of its image
        settings = settings.replace(augment="none" if settings.model.freeze_encoder else "crop")
    _check_together(settings)
    name = [settings.data.dataset, settings.model.model, settings.selection.selector]
    name += [f"{settings.selection.fraction:g}", f"s{settings.run.seed}"]
    run_dir = settings.run.run_dir or f"runs/{'-'.join(name)}"
    return settings.replace(run_dir=run_dir)


def _own_encoder(settings: Settings) -> str | None:
    """Returns the encoder that the captioner has by itself, if it has one."""
    name, on_photographs = settings.model.model, settings.data.dataset != "scenes"
    if settings.model.checkpoint and name in _IN_CHECKPOINT:
        return _IN_CHECKPOINT[name]
    return OWN_ENCODER.get(name) or (_ON_PHOTOGRAPHS.get(name) if on_photographs else None)


def _own_weights(settings: Settings) -> str:
    """Returns the captioner's checkpoint, if that holds the encoder too and no other is named."""
    of_checkpoint = _IN_CHECKPOINT.get(settings.model.model)
    return settings.model.checkpoint if of_checkpoint and settings.model.encoder in (None, of_checkpoint) else ""


def _check_together(settings: Settings) -> None:
    """Raises InputError for fields that are right alone and wrong together."""
    if settings.model.freeze_encoder != (settings.model.train not in _ENCODER_TRAINS):
        raise InputError(
            "--train and --freeze_encoder disagree about the encoder",
            received=f"--train={settings.model.train} --{'' if settings.model.freeze_encoder else 'no'}freeze_encoder",
            expected="one of the two",
        )
    if settings.model.train not in ("all", "decoder") and not settings.model.checkpoint:
        raise InputError(
            f"--train={settings.model.train} would keep a random decoder",
            expected="--checkpoint=FOLDER, or --train=all or decoder",
        )
    if settings.model.freeze_encoder and settings.model.encoder_weights == "none":
        raise InputError(
            "--freeze_encoder with --encoder_weights=none would keep a random encoder",
            expected="weights for the encoder, or --nofreeze_encoder",
        )
    if settings.model.freeze_encoder and settings.data.augment != "none":
        raise InputError(
            "A frozen encoder reads each image once into the feature cache and cannot be augmented",
            received=f"--augment={settings.data.augment}",
            expected="--augment=none, or --nofreeze_encoder",
        )
    if settings.model.tie_embeddings and settings.model.embedding_size != settings.model.units:
        raise InputError(
            "--tie_embeddings needs word vectors as wide as the LSTM",
            received=f"--embedding_size={settings.model.embedding_size} --units={settings.model.units}",
            expected="two equal widths, or --notie_embeddings",
        )
    proxy, encoder = settings.selection.proxy, settings.model.encoder
    if proxy != settings.model.model and OWN_ENCODER.get(proxy, encoder) != encoder:
        raise InputError(
            f"The proxy {proxy} would see through {encoder}: a proxy shares the experiment's encoder",
            received=f"--proxy={proxy} --model={settings.model.model} --encoder={encoder}",
            expected=f"--encoder={OWN_ENCODER[proxy]}, or another proxy",
        )
    if settings.evaluation.temperature and settings.evaluation.beams > 1:
        raise InputError(
            "Captions are drawn one by one, without beams",
            received=f"--temperature={settings.evaluation.temperature:g} --beams={settings.evaluation.beams}",
            expected="--beams=1, or --temperature=0",
        )
    if settings.evaluation.top_p < 1 and not settings.evaluation.temperature:
        raise InputError(
            "--top_p says from which words captions are drawn, and none is drawn",
            received=f"--top_p={settings.evaluation.top_p:g} --temperature=0",
            expected="--temperature above 0 and --beams=1",
        )
    settings.selection.epochs_named()
    if settings.data.coco_split == "karpathy" and not settings.data.karpathy_json:
        raise InputError("--coco_split=karpathy needs the split file", expected="--karpathy_json=dataset_coco.json")
