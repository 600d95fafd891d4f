"""Which settings have an effect: a captioner uses what it is made of, and some settings need another one beside them.

Settings are given by name, whichever group they are in. One that has no effect is refused where somebody has said it,
and stays as if nobody had (None, or off) in a run's description.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tfcap.errors import InputError

Values = Mapping[str, Any]

_LSTM = ("units", "embedding_size", "tie_embeddings", "attention")
_PREFIX = ("shape", "mapper", "prefix_length", "attention")
_LORA = ("lora_rank", "lora_alpha", "lora_dropout")
# What each captioner uses of the settings that not every captioner uses.
USED = {
    "resnet50_lstm": _LSTM,
    "clip_gpt2": _PREFIX,
    "vit_gpt2": ("shape",),
    "git": ("shape",),
    "vit_llama": (*_PREFIX, *_LORA),
    "vgg19_lstm": _LSTM,
    "classifier": (),
}
CLASSIFIER, CIFAR_RESNET = "classifier", "resnet18_cifar"


@dataclasses.dataclass(frozen=True)
class _Need:
    """What a setting needs, besides a captioner that uses it where that is not every one.

    Attributes:
      met: says of an experiment's settings whether it is there.
      by: the settings that decide it.
      words: the same for an error.
    """

    met: Callable[[Values], bool]
    by: tuple[str, ...]
    words: str


_NEEDS = {
    "shape": _Need(lambda values: not values["checkpoint"], ("checkpoint",), "no --checkpoint"),
    "attention": _Need(  # the other mappers see the mean of the regions
        lambda values: "mapper" not in USED[values["model"]] or values["mapper"] == "transformer",
        ("mapper",),
        "--mapper=transformer where there is a mapper",
    ),
    **dict.fromkeys(_LORA, _Need(lambda values: values["train"] == "lora", ("train",), "--train=lora")),
    "min_word_count": _Need(
        lambda values: not (values["tokenizer"] or values["checkpoint"] or values["model"] == CLASSIFIER),
        ("tokenizer", "checkpoint", "model"),
        "neither --tokenizer nor --checkpoint, but a captioner with the words of the train split",
    ),
    "early_stopping": _Need(
        lambda values: values["beams"] > 1 and values["model"] != CLASSIFIER,
        ("beams", "model"),
        "--beams above 1 of a captioner",
    ),
    **dict.fromkeys(
        ("norm", "width"),
        _Need(
            lambda values: (values["encoder"] or (values["model"] == CLASSIFIER and CIFAR_RESNET)) == CIFAR_RESNET,
            ("encoder",),
            f"--encoder={CIFAR_RESNET}",
        ),
    ),
    **dict.fromkeys(
        ("kd_alpha", "kd_temperature"),
        _Need(
            lambda values: values["knowledge_distillation"],
            ("knowledge_distillation",),
            "--knowledge_distillation",
        ),
    ),
}
_OFF = ("attention", "early_stopping")  # unless they are said; of the others None stands for it
_OF_EVERY = tuple(name for name in _NEEDS if not any(name in used for used in USED.values()))
_ALL = tuple(dict.fromkeys([name for used in USED.values() for name in used] + list(_OF_EVERY)))


def beside(values: Values, name: str) -> dict[str, Any]:
    """Returns what is otherwise for a captioner that is trained beside the experiment's own, to score its examples.

    It starts at random and learns whole, but for an encoder that is frozen for both; words and encoder are shared.
    """
    return {
        "model": name,
        "proxy": name,
        "checkpoint": "",
        "tokenizer": values["tokenizer"] or values["checkpoint"],
        "train": "decoder" if values["freeze_encoder"] else "all",
    }


def used_by_captioner(values: Values) -> set[str]:
    """Returns which of the settings that do not always have an effect the experiment's own captioner uses."""
    names = (*USED.get(values["model"], ()), *_OF_EVERY)
    return {name for name in names if name not in _NEEDS or _NEEDS[name].met(values)}


def without_effect(values: Values) -> dict[str, Any]:
    """Returns the settings that neither the captioner nor its proxy uses, each with the value of what nobody said."""
    used, proxy = used_by_captioner(values), values["proxy"]
    if proxy not in (None, values["model"]):
        used |= used_by_captioner({**values, **beside(values, proxy)})
    return {name: False if name in _OFF else None for name in _ALL if name not in used}


def check_effects(values: Values) -> None:
    """Raises InputError for a setting that is said and has no effect."""
    for name, unsaid in without_effect(values).items():
        if values[name] != unsaid:
            raise _refusal(name, values)


def _refusal(name: str, values: Values) -> InputError:
    users = [captioner for captioner, used in USED.items() if name in used]
    need = _NEEDS.get(name)
    shown = [name, *(["model", "proxy"] if users else []), *(need.by if need else ())]
    if values["proxy"] == values["model"]:
        shown = [one for one in shown if one != "proxy"]
    expected = [f"a captioner that uses it ({', '.join(users)})"] if users else []
    expected += [need.words] if need else []
    return InputError(
        f"--{name} would have no effect",
        received=" ".join(_flag(one, values[one]) for one in shown if values[one] not in (None, "")),
        expected=" and ".join(expected),
    )


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    return f"--{name}={value:g}" if isinstance(value, float) else f"--{name}={value}"
