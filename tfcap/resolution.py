"""What the settings are that nobody has said, and which settings contradict each other.

Settings are given and returned by name, whichever group they are in; `tfcap.settings` says what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcap.distilled_set import read_distilled
from tfcap.effects import (
    CIFAR_RESNET,
    CLASSIFIER,
    USED,
    Values,
    check_effects,
    used_by_captioner,
    without_effect,
)
from tfcap.errors import InputError
from tfcap.fields import several

# What None stands for, on every data set and by data set. `scenes` trains a small encoder from scratch in minutes.
_EVERYWHERE: dict[str, Any] = {
    "min_word_count": 5,
    "mapper": "linear",
    "prefix_length": 10,
    "lora_rank": 16,
    "lora_alpha": 32.0,
    "lora_dropout": 0.1,
    "norm": "batch",
    "width": 64,
    "kd_alpha": 0.1,
    "kd_temperature": 4.0,
}
_FOR_SCENES: dict[str, Any] = {
    "encoder": "small_resnet",
    "units": 256,
    "embedding_size": 128,
    "shape": "tiny",
    "epochs": 25,
    "batch_size": 50,
    "validate_every": 5,
}
_FOR_PHOTOGRAPHS: dict[str, Any] = {
    "encoder": "resnet50",
    "units": 512,
    "embedding_size": 512,
    "shape": "base",
    "epochs": 30,
    "batch_size": 128,
    "validate_every": 1,
}
# Of a classifier, whatever the data set, and on the embedded one, which it learns in minutes.
_FOR_CLASSES: dict[str, Any] = {"epochs": 30, "batch_size": 128, "validate_every": 5}
_FOR_OBJECTS: dict[str, Any] = {"width": 8, "epochs": 20, "batch_size": 50}
# A distilled set has one caption a pair, and few pairs: words are rare in it.
_FOR_DISTILLED: dict[str, Any] = {"min_word_count": 1}

# Captioners whose encoder is the one in their name whatever the data set, unless --encoder says otherwise.
OWN_ENCODER = {"vgg19_lstm": "vgg19", CLASSIFIER: CIFAR_RESNET}
# Captioners with an encoder of their own on photographs, or on any data set if it comes out of their --checkpoint.
_ON_PHOTOGRAPHS = {"clip_gpt2": "clip_vit_b32", "vit_gpt2": "vit_b16", "vit_llama": "vit_b16"}
_IN_CHECKPOINT = {"vit_gpt2": "vit", "git": "git_vit"}
# Encoders that keras.applications has weights of.
_WITH_IMAGENET = ("resnet50", "vgg19", "mobilenet_v2")
# Encoders that no checkpoint has to say the size of.
_WITH_A_SIZE = ("clip_vit_b32", "vit_b16", "nf_resnet50")
# Encoders of small pictures, which have no pretrained weights.
_SMALL = ("small_resnet", "nf_resnet_small", CIFAR_RESNET)
# Captioners whose decoder has other sizes than base, on photographs.
_OWN_SHAPE = {"vit_llama": "1b"}
# What --shape can be, by captioner.
SHAPES = {
    **dict.fromkeys(("clip_gpt2", "vit_gpt2"), ("tiny", "mini", "small", "base", "large")),
    "git": ("tiny", "mini", "small", "base"),
    "vit_llama": ("tiny", "1b", "3b"),
}
# Parts of a captioner that --train names, and in which the encoder learns too.
_ENCODER_TRAINS = ("all", "encoder")


def resolved(said: Values) -> dict[str, Any]:
    """Returns the settings with a value for every None that has an effect, as suits data set, captioner and encoder.

    Raises:
      InputError: a setting has no effect, or settings are right alone and wrong together.
    """
    check_effects(said)
    values = dict(said)
    _fill(values, _by_itself(values))
    small = values["encoder"] in _SMALL
    weights = values["encoder_weights"] or _own_weights(values) or ("none" if small else _imagenet(values["encoder"]))
    frozen = weights != "none" if values["train"] is None else values["train"] not in _ENCODER_TRAINS
    _fill(values, {"encoder_weights": weights, "image_size": _image_size(values), "freeze_encoder": frozen})
    _fill(
        values,
        {
            "train": "decoder" if values["freeze_encoder"] else "all",
            "augment": _augment(values),
            "image_dropout": values["dropout"],
            "tie_embeddings": values["embedding_size"] == values["units"] and not _on_scenes(values),
            "proxy": values["model"],
        },
    )
    _check_classes(values)
    _check_together(values)
    _check_training(values, said)
    values["run_dir"] = values["run_dir"] or f"runs/{'-'.join(_words_for(values, said))}"
    return values


def _words_for(values: Values, said: Values) -> list[str]:
    """Returns what the folder of a run is called by itself: what most experiments are told apart by."""
    found = [values["dataset"], *([Path(values["source"]).resolve().name] if values["dataset"] == "distilled" else [])]
    found += [values["model"]]
    found += [Path(values["checkpoint"]).name] if values["checkpoint"] else []
    found += [values["train"]] if said["train"] else []
    return [*found, values["selector"], f"{values['fraction']:g}", f"s{values['seed']}"]


def _fill(values: dict[str, Any], by_themselves: Mapping[str, Any]) -> None:
    """Gives those that are None and have an effect their values."""
    idle = without_effect(values)
    values.update({name: one for name, one in by_themselves.items() if values[name] is None and name not in idle})


def _by_itself(values: Values) -> dict[str, Any]:
    on_scenes = _on_scenes(values)
    found = {**_EVERYWHERE, **(_FOR_SCENES if on_scenes else _FOR_PHOTOGRAPHS)}
    found |= _FOR_DISTILLED if values["dataset"] == "distilled" else {}
    if values["model"] == CLASSIFIER:
        found |= _FOR_CLASSES | (
            _FOR_OBJECTS if _original(values).get("dataset", values["dataset"]) == "objects" else {}
        )
    found["encoder"] = _own_encoder(values) or found["encoder"]
    if not on_scenes:
        whose = "model" if "shape" in used_by_captioner(values) else "proxy"
        found["shape"] = _OWN_SHAPE.get(values[whose], found["shape"])
    return found


def _original(values: Values) -> Mapping[str, Any]:
    """Returns the settings of the data set that was distilled, by name; nothing where the data set is no such one.

    Raises:
      InputError: the folder of the distilled set is not there or is damaged.
    """
    return read_distilled(values["source"]).data if values["dataset"] == "distilled" else {}


def _on_scenes(values: Values) -> bool:
    """Returns whether the pictures are scenes, or were distilled from scenes."""
    return _original(values).get("dataset", values["dataset"]) == "scenes"


def _image_size(values: Values) -> int:
    """Returns the side of the picture that the encoder sees by itself, in pixels.

    That of a distilled set is what its pictures were made for, if the encoder is the one of the original by itself.
    """
    usual = 32 if values["encoder"] == CIFAR_RESNET else 64 if values["encoder"] in _SMALL else 224
    of_original = (_FOR_SCENES if _on_scenes(values) else _FOR_PHOTOGRAPHS)["encoder"]
    return (_original(values).get("image_size") if values["encoder"] == of_original else None) or usual


def _augment(values: Values) -> str:
    """Returns how training images are varied by themselves; a cached feature has one view of its image."""
    if values["freeze_encoder"]:
        return "none"
    return "pad_crop_flip" if values["model"] == CLASSIFIER else "crop"


def _own_encoder(values: Values) -> str | None:
    """Returns the encoder that the captioner has by itself, if it has one."""
    name, on_photographs = values["model"], not _on_scenes(values)
    if values["checkpoint"] and name in _IN_CHECKPOINT:
        return _IN_CHECKPOINT[name]
    return OWN_ENCODER.get(name) or (_ON_PHOTOGRAPHS.get(name) if on_photographs else None)


def _own_weights(values: Values) -> str:
    """Returns the captioner's checkpoint, if that holds the encoder too and no other is named."""
    of_checkpoint = _IN_CHECKPOINT.get(values["model"])
    return values["checkpoint"] if of_checkpoint and values["encoder"] in (None, of_checkpoint) else ""


def _imagenet(encoder: str) -> str:
    """Returns what --encoder_weights is by itself; raises InputError for an encoder that has nothing by itself."""
    if encoder not in _WITH_IMAGENET:
        raise InputError(
            "--encoder_weights is missing",
            received=f"--encoder={encoder}",
            expected="a folder or hf://user/name in the form of Hugging Face"
            + (", or none for a random start" if encoder in _WITH_A_SIZE else ""),
        )
    return "imagenet"


def _check_together(values: Values) -> None:
    """Raises InputError for settings that are right alone and wrong together."""
    _check_decoding(values)
    _check_shape(values)
    if values["tie_embeddings"] and values["embedding_size"] != values["units"]:
        raise InputError(
            "--tie_embeddings needs word vectors as wide as the LSTM",
            received=f"--embedding_size={values['embedding_size']} --units={values['units']}",
            expected="two equal widths, or --notie_embeddings",
        )
    proxy, encoder = values["proxy"], values["encoder"]
    if proxy != values["model"] and OWN_ENCODER.get(proxy, encoder) != encoder:
        raise InputError(
            f"The proxy {proxy} would see through {encoder}: a proxy shares the experiment's encoder",
            received=f"--proxy={proxy} --model={values['model']} --encoder={encoder}",
            expected=f"--encoder={OWN_ENCODER[proxy]}, or another proxy",
        )
    if values["coco_split"] == "karpathy" and not values["karpathy_json"]:
        raise InputError("--coco_split=karpathy needs the split file", expected="--karpathy_json=dataset_coco.json")


# What a classifier has no use for, and its value where nobody has said it.
_OF_CAPTIONS = {
    "max_tokens": 32,
    "dropout": 0.3,
    "tokenizer": "",
    "checkpoint": "",
    "level": "image",
    "token_reduction": "mean",
    "java": "auto",
    "bootstrap_resamples": 1000,
    "beams": 3,
    "length_penalty": 1.0,
    "no_repeat_ngram": 0,
    "temperature": 0.0,
    "top_p": 1.0,
}


def _check_classes(values: Values) -> None:
    """Raises InputError for what only captioners have, and for what only classifiers have."""
    model, proxy = values["model"], values["proxy"]
    if (model == CLASSIFIER) != (proxy == CLASSIFIER):
        raise InputError(
            "Captioners and classifiers do not score for each other",
            received=f"--proxy={proxy} --model={model}",
            expected="two captioners, or a classifier alone",
        )
    if model != CLASSIFIER:
        return
    for name, usual in _OF_CAPTIONS.items():
        if values[name] != usual:
            raise InputError(
                f"--{name} would have no effect on a classifier",
                received=f"--{name}={values[name]}",
                expected="a captioner that uses it",
            )
    if values["image_dropout"] != values["dropout"]:
        raise InputError(
            "--image_dropout would have no effect on a classifier",
            received=f"--image_dropout={values['image_dropout']:g}",
            expected="a captioner that uses it",
        )


def _check_shape(values: Values) -> None:
    """Raises InputError where the captioner, or the proxy, which has the same shape, has none of that name."""
    roles = ["model"] if "shape" in used_by_captioner(values) else []
    roles += ["proxy"] if values["proxy"] != values["model"] and values["proxy"] in SHAPES else []
    offered = [SHAPES[values[role]] for role in roles]
    if any(values["shape"] not in shapes for shapes in offered):
        raise InputError(
            "There is no such shape of " + " and ".join(values[role] for role in roles),
            received=f"--shape={values['shape']} " + " ".join(f"--{role}={values[role]}" for role in roles),
            expected=", ".join(shape for shape in offered[0] if shape in offered[-1]),
        )


def _check_training(values: Values, said: Values) -> None:
    """Raises InputError where what is to train, and on what, is contradictory."""
    if values["budget_steps"] and values["track"]:
        raise InputError(
            "The last of as many epochs as --budget_steps takes may be a part of one, and --track is of whole epochs",
            received=f"--budget_steps --track={values['track']}",
            expected="one of the two",
        )
    if values["norm"] == "batch" and "gradient_norm" in several(values["track"]):
        raise InputError(
            "Batch normalisation mixes the images of a batch, so that none has a gradient of its own in training",
            received="--track=gradient_norm --norm=batch",
            expected="--norm=group, or another signal",
        )
    if values["knowledge_distillation"] and values["proxy_epochs"] == 0 and not values["teacher"]:
        raise InputError(
            "A teacher that is not trained knows nothing",
            received="--proxy_epochs=0 --knowledge_distillation",
            expected="one epoch or more, or --teacher",
        )
    frozen, model, train = values["freeze_encoder"], values["model"], values["train"]
    if values["checkpoint"] and "units" in USED.get(model, ()):
        raise InputError(f"{model} is not read from a checkpoint", received=f"--checkpoint={values['checkpoint']}")
    if train == "lora" and "lora_rank" not in USED.get(model, ()):
        raise InputError(
            f"{model} has no low-rank adapters",
            received="--train=lora",
            expected="--model=" + " or ".join(name for name, used in USED.items() if "lora_rank" in used),
        )
    if frozen != (values["train"] not in _ENCODER_TRAINS):
        raise InputError(
            "--train and --freeze_encoder disagree about the encoder",
            received=f"--train={values['train']} --{'' if frozen else 'no'}freeze_encoder",
            expected="one of the two",
        )
    if values["train"] not in ("all", "decoder") and not values["checkpoint"]:
        raise InputError(
            f"--train={values['train']} would keep a random decoder",
            expected=("" if model == CLASSIFIER else "--checkpoint=FOLDER, or ") + "--train=all or decoder",
        )
    if frozen and values["encoder_weights"] == "none":
        raise InputError(
            "A frozen encoder with --encoder_weights=none would stay random",
            received=f"--train={train}" if said["train"] else "--freeze_encoder",
            expected="weights for the encoder, or " + ("--train=all" if said["train"] else "--nofreeze_encoder"),
        )
    if frozen and values["attention"] and "attention" not in used_by_captioner(values) and "mapper" in USED[model]:
        raise InputError(
            "The proxy cannot attend to regions of which the captioner's features are the mean",
            received=f"--attention --proxy={values['proxy']} --model={model} --mapper={values['mapper']}",
            expected="--mapper=transformer, or --noattention",
        )
    if frozen and values["augment"] != "none":
        raise InputError(
            "A frozen encoder reads each image once into the feature cache and cannot be augmented",
            received=f"--augment={values['augment']}",
            expected="--augment=none, or --nofreeze_encoder",
        )


def _check_decoding(values: Values) -> None:
    """Raises InputError where the next word would be chosen in two ways."""
    if values["temperature"] and values["beams"] > 1:
        raise InputError(
            "Captions are drawn one by one, without beams",
            received=f"--temperature={values['temperature']:g} --beams={values['beams']}",
            expected="--beams=1, or --temperature=0",
        )
    if values["top_p"] < 1 and not values["temperature"]:
        raise InputError(
            "--top_p says from which words captions are drawn, and none is drawn",
            received=f"--top_p={values['top_p']:g} --temperature=0",
            expected="--temperature above 0 and --beams=1",
        )
