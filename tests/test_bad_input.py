"""Every kind of bad input ends with code 2 and one line that says what is wrong, and leaves nothing behind.

The table's rows run through the real entry points; those that need a process of their own say so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import runpy
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.toy_clip import write_clip
from tests.tfrecords_builder.toy import encoded
from tfcap.command_settings import EvaluateSettings
from tfcap.data.records import Records
from tfcap.files import read_json, write_json
from tfcap.run_folder import RunFolder
from tfcap.scoring import score_store
from tfcap.settings import Settings

_REPOSITORY = Path(__file__).resolve().parents[1]
_SCRIPTS = {
    "main": "tfcap/main.py",
    "builder": "tfrecords_builder/__main__.py",
    "caption": "tfcap/caption.py",
    "score": "tfcap/score.py",
    "select": "tfcap/select.py",
    "inspect": "tfcap/inspect.py",
    "evaluate": "tfcap/evaluate.py",
}


class Place:
    """Where one row of the table happens: `here`, with a run folder and a data folder of its own where it asks."""

    def __init__(self, here: Path, toy: dict[str, object], run: Path, scenes: Path, monkeypatch) -> None:
        self.here, self.toy, self.finished, self.scenes, self.monkeypatch = here, dict(toy), run, scenes, monkeypatch
        self.run_dir = here / "run"

    def arguments(self, **changes: object) -> list[str]:
        """The flags of the toy experiment, some of them changed, others (None) left out."""
        values = {**self.toy, "run_dir": str(self.run_dir), **changes}
        switches = {True: "--{}", False: "--no{}"}
        return [
            switches[value].format(name) if isinstance(value, bool) else f"--{name}={value}"
            for name, value in values.items()
            if value is not None
        ]

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def own_run(self) -> Path:
        """A copy of the finished run in the run folder."""
        return Path(shutil.copytree(self.finished, self.run_dir))

    def own_data(self) -> Path:
        """A copy of the built data set, named by --data_dir; returns its version folder."""
        shutil.copytree(self.scenes.parents[2], self.here / "data", ignore=shutil.ignore_patterns("*.lock"))
        self.toy["data_dir"] = str(self.here / "data")
        return self.here / "data" / self.scenes.relative_to(self.scenes.parents[2])

    def flickr(self, images: int = 10, captions: str | None = None) -> Path:
        """A source in the layout of Flickr8k."""
        for number in range(images):
            self.file(f"flickr/images/{number}.jpg", encoded(number))
        rows = "".join(f"{number}.jpg,a caption of {number}\n" for number in range(images))
        self.file("flickr/captions.txt", "image,caption\n" + rows if captions is None else captions)
        return self.here / "flickr"

    def photographs(self, source: Path | str, dataset: str = "flickr8k", **more: object) -> list[str]:
        said = {"dataset": dataset, "source": source, "encoder": "small_resnet", "data_dir": self.here / "data"}
        return self.arguments(scenes_size=None, **said, **more)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes:
      words: a pattern that the line on stderr must hold.
      given: makes the situation and returns the command line's arguments; a list is returned as it is.
      command: which entry point.
      alone: runs in a process of its own.
      leaves: prefixes of files that may appear, because they are results and not remains.
    """

    words: str
    given: Callable[[Place], list[str]] | list[str]
    command: str = "main"
    alone: bool = False
    leaves: tuple[str, ...] = ()


def _changed(**changes: object) -> Callable[[Place], list[str]]:
    return lambda place: place.arguments(**changes)


# Situations that take more than a line.


def _transformer(model: str, **changes: object) -> Callable[[Place], list[str]]:
    """The toy experiment with a transformer, which the widths of an LSTM are not for."""
    return _changed(**{"model": model, "units": None, "embedding_size": None, **changes})


def _empty_flickr(place: Place) -> list[str]:
    source = place.flickr(0)
    (source / "images").mkdir()
    return place.photographs(source)


def _bad_images(place: Place) -> list[str]:
    source = place.flickr()
    (source / "images" / "3.jpg").write_bytes(b"\xff\xd8\xff broken")
    return place.photographs(source)


def _source_without_captions(place: Place) -> list[str]:
    source = place.flickr()
    (source / "captions.txt").unlink()
    return place.photographs(source)


def _not_utf8(place: Place) -> list[str]:
    source = place.flickr()
    (source / "captions.txt").write_bytes(b"image,caption\n0.jpg,caf\xe9\n")
    return place.photographs(source)


def _recipes(table: str) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        return place.photographs(place.file("recipes/recipes.csv", table).parent, "food_recipes")

    return given


def _consensus_of_single_captions(place: Place) -> list[str]:
    return place.photographs(place.flickr(), selector="easiest", selection_score="caption_consensus")


def _coco(annotations: str | None) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        for split in ("train", "val"):
            if annotations is not None:
                place.file(f"coco/annotations/captions_{split}2017.json", annotations)
        (place.here / "coco").mkdir(exist_ok=True)
        return place.photographs(place.here / "coco", "coco_captions")

    return given


def _karpathy(content: str | None) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        (place.here / "coco").mkdir()
        path = place.here / "split.json" if content is None else place.file("split.json", content)
        return place.photographs(place.here / "coco", "coco_captions", coco_split="karpathy", karpathy_json=path)

    return given


def _weights(name: str, content: bytes | None) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        path = place.here / name if content is None else place.file(name, content)
        return place.arguments(encoder="mobilenet_v2", encoder_weights=path, image_size=32)

    return given


def _weights_of_another_architecture(place: Place) -> list[str]:
    import keras

    path = place.here / "dense.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    return place.arguments(encoder="mobilenet_v2", encoder_weights=path, image_size=32)


def _run_dir_is_a_file(place: Place) -> list[str]:
    return place.arguments(run_dir=place.file("thesis.txt", "mine"))


def _foreign_run_dir(resume: bool) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        place.file("run/thesis.txt", "mine")
        return place.arguments(resume=resume)

    return given


def _afresh_with_a_mistake(place: Place) -> list[str]:
    """The old run must still be there."""
    place.own_run()
    return place.arguments(resume=False, min_word_count=100_000)


def _other_settings(place: Place) -> list[str]:
    place.own_run()
    return place.arguments(learning_rate=0.5)


def _experiment_json(content: str) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        (place.own_run() / "experiment.json").write_text(content)
        return place.arguments()

    return given


def _mask(damage: str) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        masks = place.own_run() / "masks"
        if damage == "fingerprint":
            about = read_json(masks / "random-0.75.json")
            write_json(masks / "random-0.75.json", {**about, "fingerprint": "0" * 64})
        else:
            path = masks / "random-0.75.npz"
            path.write_bytes({"cut": path.read_bytes()[:-50], "empty": b""}[damage])
        return place.arguments()

    return given


def _scores(damage: str) -> Callable[[Place], list[str]]:
    """A run that has come as far as its scores, and these are damaged."""

    def given(place: Place) -> list[str]:
        _run_with_scores(place, damage)
        return place.arguments(selector="loss")

    return given


def _run_with_scores(place: Place, damage: str = "", reduction: str = "mean") -> None:
    said = {"run_dir": str(place.run_dir), "selector": "loss", "token_reduction": reduction}
    settings = Settings().replace(**place.toy, **said).resolve()
    records = {split: Records(place.scenes, split) for split in ("train", "validation", "test")}
    RunFolder(settings).describe({split: one.fingerprint for split, one in records.items()})
    shutil.copy(place.finished / "vocabulary.txt", place.run_dir)
    of = records["test" if damage == "fingerprint" else "train"]
    score_store.describe(place.run_dir / "scores", "loss", of, {"unit": "nats", "seed": 0, "seconds": 1.0})
    path = place.run_dir / "scores" / "loss.npy"
    scores = np.arange(len(records["train"]), dtype=np.float32)
    if damage == "nan":
        scores[3] = np.nan
    np.save(path, scores)
    if damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 100 if damage == "cut" else 0])


def _scores_of_another_reduction(place: Place) -> list[str]:
    """Scores that were copied from another run."""
    _run_with_scores(place, reduction="sum")
    about = read_json(place.run_dir / "scores" / "loss.json")
    write_json(place.run_dir / "scores" / "loss.json", {**about, "token_reduction": "mean"})
    return place.arguments(selector="loss", token_reduction="sum")


def _resumed_with_another_reduction(place: Place) -> list[str]:
    _run_with_scores(place)
    return place.arguments(selector="loss", token_reduction="sum")


def _captioner(change: Callable, **said: object) -> Callable[[Place], list[str]]:
    """Asks for a score of captioners that `change` is done to."""

    def given(place: Place) -> list[str]:
        from tfcap import preparation

        plain = preparation.build_captioner

        def changed(*arguments: object) -> object:
            model = plain(*arguments)
            change(model)
            return model

        place.monkeypatch.setattr(preparation, "build_captioner", changed)
        return place.arguments(selector="hardest", **said)

    return given


def _freeze_the_logits(model: Any) -> None:
    model.vocabulary_logits.trainable = False


def _select(damage: str = "", **changes: object) -> Callable[[Place], list[str]]:
    """Asks for masks from a run with scores; a flag that is None is left out."""

    def given(place: Place) -> list[str]:
        _run_with_scores(place, damage)
        place.file("thesis.txt", "mine")
        said = {"scores": place.run_dir, "selector": "loss", "out": place.here / "masks", **changes}
        return [f"--{name}={value}" for name, value in said.items() if value is not None]

    return given


def _inspect(damage: str = "", *more: str) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        _run_with_scores(place, damage)
        place.file("thesis.txt", "mine")
        return [str(place.run_dir), *more]

    return given


def _score(damage: Callable[[Place], object] = lambda place: None, **changes: object) -> Callable[[Place], list[str]]:
    """Asks for a score of the toy data; a flag that is None is left out."""

    def given(place: Place) -> list[str]:
        damage(place)
        said = {name: place.toy[name] for name in ("scenes_size", "data_dir")}
        said |= {"out": place.here / "scored", **changes}
        return [f"--{name}={value}" for name, value in said.items() if value is not None]

    return given


def _score_single_captions(place: Place) -> list[str]:
    said = {"dataset": "flickr8k", "source": place.flickr(), "data_dir": place.here / "data", "out": place.run_dir}
    return [*(f"--{name}={value}" for name, value in said.items()), "--noprogress"]


def _evaluate(
    damage: Callable[[Place], object] = lambda place: None, **changes: object
) -> Callable[[Place], list[str]]:
    """Asks for an evaluation of Gemma 3 on the toy data; a flag that is None is left out."""

    def given(place: Place) -> list[str]:
        damage(place)
        said = {name: place.toy[name] for name in ("scenes_size", "data_dir")}
        said |= {"checkpoint": place.here / "gemma", "out": place.here / "evaluated", **changes}
        return [*(f"--{name}={value}" for name, value in said.items() if value is not None), "--noprogress"]

    return given


def _begun_evaluation(content: str = "", **other: object) -> Callable[[Place], None]:
    """An evaluation that was begun with other settings or data, or whose description is damaged."""

    def damage(place: Place) -> None:
        from tfcap.evaluation_folder import EvaluationFolder

        asked = EvaluateSettings(checkpoint=str(place.here / "gemma"), out=str(place.here / "evaluated"))
        said = {name: place.toy[name] for name in ("scenes_size", "data_dir")} | other
        EvaluationFolder(asked, Settings().replace(**said).resolve()).describe("f" * 64, dict)
        if content:
            place.file("evaluated/evaluation.json", content)

    return damage


def _pickled_gemma(place: Place) -> None:
    place.file("gemma/config.json", '{"model_type": "gemma3"}')
    place.file("gemma/pytorch_model.bin", "PK")


def _evaluate_without_pictures(place: Place) -> list[str]:
    source = place.flickr(0)
    (source / "images").mkdir()
    said = {"dataset": "flickr8k", "source": source, "data_dir": place.here / "data", "out": place.here / "evaluated"}
    return [*(f"--{name}={value}" for name, value in said.items()), "--checkpoint=gemma", "--noprogress"]


def _without_beam(place: Place) -> None:
    place.monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def _without_pyarrow(place: Place) -> list[str]:
    place.monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return _select(formats="parquet")(place)


def _checkpoint(damage: str, *done: str) -> Callable[[Place], list[str]]:
    """The finished run, as if the stages that wrote `done` were still to do."""

    def given(place: Place) -> list[str]:
        run = place.own_run()
        for name in done:
            (run / name).unlink()
        (step,) = (run / "checkpoints").glob("step-*")
        if damage == "gone":
            shutil.rmtree(step)
        else:
            path = step / "state.safetensors"
            path.write_bytes(path.read_bytes()[:-100])
        return place.arguments()

    return given


def _truncated_shard(place: Place) -> list[str]:
    shard = next(place.own_data().glob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-10])
    return place.arguments()


def _damaged_index(place: Place) -> list[str]:
    (place.own_data() / "tfcap_index.npz").write_bytes(b"PK\x03\x04 broken")
    return place.arguments()


def _damaged_manifest(place: Place) -> list[str]:
    path = place.own_data() / "tfcap.json"
    path.write_text(path.read_text()[:100])
    return place.arguments()


def _teacher(**changes: object) -> Callable[[Place], list[str]]:
    return lambda place: place.arguments(selector="loss", teacher=place.finished, **changes)


def _teacher_of_other_words(place: Place) -> list[str]:
    """As many of them, so that the checkpoint fits."""
    run = place.own_run().rename(place.here / "teacher")
    words = (run / "vocabulary.txt").read_text().splitlines()
    (run / "vocabulary.txt").write_text("\n".join([*words[:-1], "zebra"]) + "\n")
    return place.arguments(selector="hardest", selection_score="learnability", teacher=run)


def _clip(given: Callable[[Place], list[str]], damage: Callable[[Path], object]) -> Callable[[Place], list[str]]:
    """The arguments that name the folder `clip`, which holds a checkpoint after some damage."""

    def damaged(place: Place) -> list[str]:
        damage(write_clip(place.here / "clip"))
        return given(place)

    return damaged


def _by_clip(place: Place) -> list[str]:
    return place.arguments(selector="easiest", selection_score="clip_score", dual_encoder="clip")


def _on_clip(place: Place) -> list[str]:
    return place.arguments(encoder="clip_vit", encoder_weights="clip")


def _cut_weights(clip: Path) -> None:
    (clip / "model.safetensors").write_bytes((clip / "model.safetensors").read_bytes()[:-9])


def _config(**changes: object) -> Callable[[Path], None]:
    return lambda clip: write_json(clip / "config.json", {**read_json(clip / "config.json"), **changes})


def _cluster(config: str | None) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        if config is not None:
            place.monkeypatch.setenv("TF_CONFIG", config)
        return place.arguments(strategy="multiworker")

    return given


def _no_java(place: Place) -> list[str]:
    place.monkeypatch.setattr("tfcap.evaluation.tokenizer.java_available", lambda: False)
    return place.arguments(java="require")


def _png_header(width: int, height: int) -> bytes:
    """A PNG of one chunk, which says how large the picture would be."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def _picture(name: str, content: bytes | None) -> Callable[[Place], list[str]]:
    def given(place: Place) -> list[str]:
        picture = place.here / name if content is None else place.file(name, content)
        return [f"--model={place.finished / 'saved_model'}", str(picture)]

    return given


def _damaged_model(place: Place) -> list[str]:
    place.file("model/saved_model.pb", b"not a protocol buffer")
    return [f"--model={place.here / 'model'}", str(place.file("a.jpg", encoded()))]


KINDS = {
    # The command line itself.
    "unknown flag": Kind("fractoin", ["--fractoin=0.5"], alone=True),
    "integer flag with a word": Kind("--epochs.*many", ["--epochs=many"]),
    "float flag with a word": Kind("--fraction.*half", ["--fraction=half"]),
    "boolean flag with a word": Kind("xla.*perhaps", ["--xla=perhaps"]),
    "fraction 0": Kind(r"--fraction is out of range.*\(0, 1\]", ["--fraction=0"]),
    "fraction above 1": Kind("--fraction is out of range.*1.5", ["--fraction=1.5"]),
    "fraction below 0": Kind("--fraction is out of range.*-1", ["--fraction=-1"]),
    "fraction nan": Kind("--fraction is out of range.*nan", ["--fraction=nan"]),
    "epochs 0": Kind("--epochs is out of range.*at least 1|in \\[1", ["--epochs=0"]),
    "unknown selector": Kind("Unknown selector.*'best'.*random", ["--selector=best"]),
    "scores of two trainings": Kind(
        "trained for different times.*--proxy_epochs.*loss and gradient_norm",
        _changed(selector="mixed", mixture="loss:1,gradient_norm:1", epochs=10),
    ),
    "pairs by embeddings": Kind(
        "captions apart.*--selector=k_means --level=pair", _changed(selector="k_means", level="pair")
    ),
    "unknown tracked signal": Kind(
        "Unknown tracked signal.*'depth'.*one of loss, gradient_norm, forgetting, aum", ["--track=loss,depth"]
    ),
    "tracked signal named twice": Kind("--track names one twice.*'aum,loss, aum'", ["--track=aum,loss, aum"]),
    "forgetting of pairs": Kind(
        "forgetting is of images.*--level=pair.*--level=image", _changed(selector="forgetting", level="pair")
    ),
    "forgetting of several captioners": Kind(
        "forgetting is of one training.*--score_seeds=2", _changed(selector="forgetting", score_seeds=2)
    ),
    "forgetting without training": Kind(
        "forgetting is counted while.*--proxy_epochs=0", _changed(selector="forgetting", proxy_epochs=0)
    ),
    "unknown score": Kind("Unknown score.*'depth'.*caption_consensus", ["--selection_score=depth"]),
    "mixture that cannot be read": Kind("--mixture cannot be read", _changed(selector="mixed", mixture="loss:half")),
    "score epochs that cannot be read": Kind("--score_epochs cannot be read.*'1,x'", _changed(score_epochs="1,x")),
    "score epochs twice": Kind("--score_epochs cannot be read.*each once", _changed(score_epochs="1,1")),
    "no score seed": Kind("--score_seeds is out of range", ["--score_seeds=0"]),
    "score epochs past the training": Kind(
        "--score_epochs goes past.*at most 2.*--proxy_epochs", _changed(selector="el2n", proxy_epochs=2, score_epochs=3)
    ),
    "sketches of several captioners": Kind(
        "have no mean.*--score_seeds=2", _changed(selector="influence", score_seeds=2)
    ),
    "unknown data set": Kind("Unknown data set.*'imagenet'.*scenes", ["--dataset=imagenet"]),
    "unknown model": Kind("Unknown captioner.*'gpt'.*resnet50_lstm", ["--model=gpt"]),
    "unknown encoder": Kind("Unknown image encoder.*'alexnet'.*resnet50", ["--encoder=alexnet"]),
    "unknown token reduction": Kind("Unknown --token_reduction.*'max'.*mean, sum", ["--token_reduction=max"]),
    "unknown strategy": Kind("Unknown --strategy.*'tpu'.*mirrored", ["--strategy=tpu"]),
    "missing flagfile": Kind("absent.flags", ["--flagfile=absent.flags"]),
    "stray argument": Kind("Arguments must be flags.*pictures", ["pictures"]),
    "frozen encoder from scratch": Kind("--nofreeze_encoder", _changed(freeze_encoder=True)),
    "frozen encoder with augmentation": Kind(
        "cannot be augmented.*--augment=crop",
        _changed(encoder="resnet50", freeze_encoder=True, augment="crop"),
    ),
    "tied embeddings of two widths": Kind(
        "--embedding_size=8 --units=16.*--notie_embeddings", _changed(tie_embeddings=True, units=16)
    ),
    "proxy with another encoder than its name says": Kind(
        "see through small_resnet.*--proxy=vgg19_lstm", _changed(selector="gradient_norm", proxy="vgg19_lstm")
    ),
    "pictures too small for the encoder": Kind(
        "VGG19 needs larger pictures.*--image_size=16", _changed(model="vgg19_lstm", encoder_weights="none")
    ),
    "drawing with beams": Kind("without beams.*--temperature=1 --beams=4", _changed(temperature=1, beams=4)),
    "a nucleus and no drawing": Kind("none is drawn.*--top_p=0.5", _changed(top_p=0.5)),
    "a budget and what is tracked": Kind(
        "--track is of whole epochs.*--budget_steps --track=loss", _changed(budget_steps=True, track="loss")
    ),
    # What would have no effect.
    "units of a transformer": Kind(
        "--units would have no effect.*--units=8 --model=git.*resnet50_lstm", _changed(model="git")
    ),
    "embedding size of a transformer": Kind(
        "--embedding_size would have no.*--model=vit_gpt2.*resnet50_lstm", _transformer("vit_gpt2", embedding_size=8)
    ),
    "tied embeddings of a transformer": Kind(
        "--notie_embeddings --model=clip_gpt2.*resnet50_lstm", _transformer("clip_gpt2", tie_embeddings=False)
    ),
    "shape of an LSTM": Kind("--shape=tiny --model=resnet50_lstm.*git.*no --checkpoint", _changed(shape="tiny")),
    "shape of a checkpoint": Kind(
        "--shape=tiny --model=git --checkpoint=c.*no --checkpoint",
        _transformer("git", shape="tiny", checkpoint="c", min_word_count=None),
    ),
    "mapper without a prefix": Kind(
        "--mapper=mlp --model=git.*clip_gpt2, vit_llama", _transformer("git", mapper="mlp")
    ),
    "length of no prefix": Kind("--prefix_length=3 --model=resnet50_lstm.*clip_gpt2", _changed(prefix_length=3)),
    "attention of a decoder that has it": Kind(
        "--attention --model=vit_gpt2.*resnet50_lstm", _transformer("vit_gpt2", attention=True)
    ),
    "attention in front of a mean": Kind(
        "--attention --model=clip_gpt2 --mapper=mlp.*--mapper=transformer",
        _transformer("clip_gpt2", attention=True, mapper="mlp"),
    ),
    **{
        f"{name} without adapters": Kind(
            f"--{name}={value} --model=vit_llama --train=all.*--train=lora",
            _transformer("vit_llama", train="all", **{name: value}),
        )
        for name, value in {"lora_rank": 2, "lora_alpha": 3, "lora_dropout": 0}.items()
    },
    "words counted of a checkpoint": Kind(
        "--min_word_count=2 --checkpoint=c.*words of the train split", _transformer("git", checkpoint="c")
    ),
    "words counted of a tokenizer": Kind("--min_word_count=2 --tokenizer=t.*neither", _changed(tokenizer="t")),
    "early stopping of a greedy search": Kind("--early_stopping --beams=1.*above 1", _changed(early_stopping=True)),
    "karpathy without its file": Kind("--karpathy_json", _changed(dataset="coco_captions", coco_split="karpathy")),
    # What does not fit the data.
    "fraction that keeps no image": Kind("--fraction keeps no image.*48 images", _changed(fraction=0.001)),
    "no frequent word": Kind("--min_word_count=100000", _changed(min_word_count=100_000)),
    "teacher that is no run": Kind(
        "teacher has no trained checkpoint.*/absent", _changed(selector="loss", teacher="/absent")
    ),
    "teacher on other data": Kind("teacher knows other words.*same data set", _teacher(limit=20)),
    "learnability without a teacher": Kind(
        "learnability needs the captioner.*--teacher=RUN", _changed(selector="hardest", selection_score="learnability")
    ),
    "teacher of another vocabulary": Kind("teacher knows other words", _teacher_of_other_words),
    "teacher of several seeds": Kind("A teacher is one captioner.*--score_seeds=2", _teacher(score_seeds=2)),
    "teacher at another epoch": Kind("A teacher is one captioner.*--score_epochs=1", _teacher(score_epochs=1)),
    "teacher of another width": Kind("checkpoint .* is of another model", _teacher(units=9)),
    # What a score cannot be had of.
    "gradient norm of a form without a rule": Kind(
        r"no rule.*embedding \(Embedding with LoRA\).*--gradient_norm_fallback=instantiate",
        _captioner(lambda model: model.embedding.enable_lora(2), selection_score="gradient_norm"),
    ),
    "gradient norm of a last layer that is frozen": Kind(
        r"vocabulary_logits \(Dense, 0 trainable weights\).*--selection_score=gradient_norm is of all",
        _captioner(_freeze_the_logits, selection_score="gradient_norm_last_layer"),
    ),
    "teacher that did not track": Kind(
        "teacher's training did not track aum.*--teacher=.*Run it with --fraction=1 --track=aum",
        lambda place: place.arguments(selector="hardest", selection_score="aum", teacher=place.finished),
    ),
    # Sources.
    "data set without a source": Kind("needs its source.*--source", lambda place: place.photographs("")),
    "missing source": Kind("--source is not a folder", lambda place: place.photographs(place.here / "absent")),
    "source without captions": Kind("has no captions", _source_without_captions),
    "captions with a bad header": Kind(
        "captions.txt has another header.*image,caption",
        lambda place: place.photographs(place.flickr(10, "name;text\n0.jpg;a caption\n")),
    ),
    "captions with a bad row": Kind(
        "row of 3 columns",
        lambda place: place.photographs(place.flickr(10, "image,caption\n0.jpg,a,b\n")),
    ),
    "captions not in UTF-8": Kind(
        "captions.txt is not UTF-8",
        _not_utf8,
    ),
    "recipes without the columns": Kind("No CSV file of --source has the columns Image_Name", _recipes("a,b\n")),
    "recipes without pictures": Kind("no picture of any recipe.*'pie'", _recipes("Image_Name,Title\npie,A pie\n")),
    "consensus of single captions": Kind(
        "record 0 has a single caption.*Received: caption_consensus", _consensus_of_single_captions, leaves=("data",)
    ),
    "empty data set": Kind("split of flickr8k is empty", _empty_flickr),
    "more than 1 % bad images": Kind("1 of 10 images are bad.*3.jpg", _bad_images),
    "COCO without annotations": Kind("has no annotations/captions_", _coco(None)),
    "COCO with damaged annotations": Kind("is not a COCO captions file", _coco('{"images": [')),
    "COCO with other annotations": Kind("is not a COCO captions file", _coco('{"images": []}')),
    "karpathy file missing": Kind("needs the split file.*split.json", _karpathy(None)),
    "karpathy file damaged": Kind("split.json is not valid JSON", _karpathy("{")),
    "karpathy file of another kind": Kind("is not Karpathy's", _karpathy('{"images": [{"split": "train"}]}')),
    "distilled set that is not there": Kind(
        "distilled set is not a folder.*/absent", _changed(dataset="distilled:/absent", scenes_size=None)
    ),
    "distilled set with another source": Kind(
        "own source.*--dataset=distilled:a --source=b", _changed(dataset="distilled:a", source="b")
    ),
    # Weights.
    "missing weights": Kind("weights are missing.*absent.weights.h5", _weights("absent.weights.h5", None)),
    "weights of another format": Kind("unknown format.*weights.pt", _weights("weights.pt", b"PK")),
    "weights that are no HDF5": Kind("does not hold the weights of MobileNetV2", _weights("a.weights.h5", b"text")),
    "weights of another architecture": Kind(
        "does not hold the weights of MobileNetV2", _weights_of_another_architecture, alone=True
    ),
    "weights for small_resnet": Kind("small_resnet has no pretrained weights", _changed(encoder_weights="imagenet")),
    "clip_score without a CLIP": Kind(
        "clip_score needs a pretrained CLIP.*--dual_encoder=FOLDER",
        _changed(selector="easiest", selection_score="clip_score"),
    ),
    "clip_score by what is no folder": Kind(
        "There is no checkpoint.*--dual_encoder=clip", lambda place: _by_clip(place), alone=True
    ),
    "clip_score without a text tower": Kind(
        "image tower and a text tower.*'clip_vision_model'", _clip(_by_clip, _config(model_type="clip_vision_model"))
    ),
    "clip_score by a pickle": Kind(
        "no weights as safetensors.*pytorch_model.bin.*Expected: model.safetensors",
        _clip(_by_clip, lambda clip: (clip / "model.safetensors").rename(clip / "pytorch_model.bin")),
    ),
    "clip_score by cut weights": Kind("model.safetensors is damaged", _clip(_by_clip, _cut_weights)),
    "clip_score without a configuration": Kind(
        "clip has no config.json", _clip(_by_clip, lambda clip: (clip / "config.json").unlink())
    ),
    "clip_score without a tokenizer": Kind(
        "has no tokenizer.*vocab.json", _clip(_by_clip, lambda clip: (clip / "vocab.json").unlink())
    ),
    "clip_score by weights of another width": Kind(
        "of another model than its config.json.*of another shape: text_projection.weight",
        _clip(_by_clip, _config(projection_dim=9)),
    ),
    "CLIP as an encoder without weights": Kind(
        "--encoder_weights is missing.*--encoder=clip_vit_b32.*or none", _changed(encoder="clip_vit_b32")
    ),
    "ViT as an encoder without weights": Kind(
        "read from a checkpoint of ViT.*--encoder_weights=imagenet",
        _changed(encoder="vit", encoder_weights="imagenet"),
    ),
    "CLIP of another shape as ViT-B/32": Kind(
        "is no ViT-B/32.*--encoder=clip_vit",
        _clip(lambda place: place.arguments(encoder="clip_vit_b32", encoder_weights="clip"), lambda clip: None),
    ),
    "CLIP for images of another size": Kind(
        "positions for images of another size.*--image_size=32",
        _clip(lambda place: place.arguments(encoder="clip_vit", encoder_weights="clip", image_size=32), lambda _: None),
    ),
    "CLIP as an encoder from cut weights": Kind("model.safetensors is damaged", _clip(_on_clip, _cut_weights)),
    # Run folders.
    "run folder is a file": Kind("thesis.txt is not the folder of a run", _run_dir_is_a_file),
    "run folder with other files": Kind("run is not the folder of a run", _foreign_run_dir(resume=True)),
    "run folder with other files, afresh": Kind("run is not the folder of a run", _foreign_run_dir(resume=False)),
    "started afresh with a mistake": Kind("--min_word_count=100000", _afresh_with_a_mistake),
    "resumed with other settings": Kind("--learning_rate was 0.001 and is now 0.5.*--noresume", _other_settings),
    "experiment.json cut": Kind("experiment.json .*valid JSON", _experiment_json('{"settings": {')),
    "experiment.json of something else": Kind("experiment.json does not describe a run", _experiment_json("[]")),
    "experiment.json of another version": Kind(
        "experiment.json does not describe a run.*warp",
        _experiment_json(json.dumps({"settings": {"data": {"warp": 1}}, "fingerprints": {}})),
    ),
    "mask cut": Kind("mask .*random-0.75.npz is damaged", _mask("cut")),
    "mask empty": Kind("mask .*random-0.75.npz is damaged", _mask("empty")),
    "mask of other data": Kind("mask .*random-0.75.npz was made for other data", _mask("fingerprint")),
    "scores cut": Kind("score file .*loss.npy is damaged", _scores("cut")),
    "scores empty": Kind("score file .*loss.npy is damaged", _scores("empty")),
    "scores of other data": Kind("scores .*loss.npy were made for other data", _scores("fingerprint")),
    "scores of another reduction": Kind("loss.npy were made otherwise.*=sum.*=mean", _scores_of_another_reduction),
    "resumed with another reduction": Kind(
        "--token_reduction was 'mean' and is now 'sum'", _resumed_with_another_reduction
    ),
    "scores not numbers": Kind("score loss of image [0-9]+ is NaN", _scores("nan")),
    "checkpoint cut, before evaluation": Kind("checkpoint .* is damaged", _checkpoint("cut", "metrics.json")),
    "checkpoint cut, in training": Kind(
        "checkpoint .* is damaged.*--noresume",
        _checkpoint("cut", "metrics.json", "history.json"),
        leaves=("tensorboard/",),
    ),
    "checkpoint gone": Kind("names a checkpoint that is gone.*--noresume", _checkpoint("gone", "metrics.json")),
    "truncated shard": Kind("train.tfrecord.* has another size.*build again", _truncated_shard),
    "damaged index": Kind("tfcap_index.npz is damaged.*build it again", _damaged_index),
    "damaged manifest": Kind("tfcap.json is not valid JSON", _damaged_manifest),
    # Where it runs.
    "batch size not divisible": Kind(
        "--batch_size cannot be shared equally.*multiple of 2", _changed(batch_size=15, virtual_devices=2), alone=True
    ),
    "multiworker without a cluster": Kind("TF_CONFIG", _cluster(None)),
    "TF_CONFIG is no JSON": Kind("TF_CONFIG is not valid", _cluster("{")),
    "TF_CONFIG is a list": Kind("TF_CONFIG is not valid", _cluster("[]")),
    "TF_CONFIG with a number for workers": Kind("TF_CONFIG is not valid", _cluster('{"cluster": {"worker": 2}}')),
    "Java required and absent": Kind("Java", _no_java),
    # The other commands.
    "builder with an unknown data set": Kind(
        "Unknown data set.*'imagenet'", ["--dataset=imagenet"], command="builder", alone=True
    ),
    "builder with a flag of training": Kind("epochs", ["--epochs=3"], command="builder"),
    "builder with too many shards": Kind(
        "fewer images than --shards",
        lambda place: ["--scenes_size=10", "--shards=9", f"--data_dir={place.here / 'data'}", "--noprogress"],
        command="builder",
    ),
    "caption without a model": Kind("There is no SavedModel", ["picture.jpg"], command="caption"),
    "caption with a missing model": Kind(
        "There is no SavedModel.*--model=/absent", ["--model=/absent", "a.jpg"], command="caption", alone=True
    ),
    "caption with a damaged model": Kind("model.* is damaged|cannot be loaded", _damaged_model, command="caption"),
    "caption without a picture": Kind(
        "No picture is named", lambda place: [f"--model={place.finished / 'saved_model'}"], command="caption"
    ),
    "caption of a missing picture": Kind("picture is missing.*absent.jpg", _picture("absent.jpg", None), "caption"),
    "caption of a text": Kind("notes.jpg cannot be captioned.*JPEG or PNG", _picture("notes.jpg", b"hi"), "caption"),
    "caption of an empty file": Kind("empty.jpg cannot be captioned", _picture("empty.jpg", b""), "caption"),
    "caption of a cut picture": Kind("cut.png cannot be captioned", _picture("cut.png", _png_header(8, 8)), "caption"),
    "caption of a cut header": Kind(
        "cut.png cannot be captioned", _picture("cut.png", b"\x89PNG\r\n\x1a\n"), "caption"
    ),
    "score without a place": Kind("--out is missing", _score(out=None), "score"),
    "score of a captioner": Kind("is a captioner's.*--score=loss.*caption_consensus", _score(score="loss"), "score"),
    "score through a runner without Apache Beam": Kind(
        "Apache Beam, which is not installed.*--runner=DirectRunner.*apache-beam",
        _score(_without_beam, runner="DirectRunner"),
        "score",
    ),
    "score into a run of pairs": Kind(
        "has other settings: --level is 'image' and not 'pair'", _score(Place.own_run, out="run", level="pair"), "score"
    ),
    "score into another folder": Kind(
        "scored is not the folder of a run", _score(lambda place: place.file("scored/thesis.txt", "mine")), "score"
    ),
    "score of a truncated shard": Kind("train.tfrecord.* has another size", _score(_truncated_shard), "score"),
    "score of single captions": Kind(
        "record 0 has a single caption.*at least two captions",
        _score_single_captions,
        "score",
        leaves=("data/", "run"),
    ),
    "select without scores": Kind("--scores is missing", _select(scores=None), "select"),
    "select without a place": Kind("--out is missing", _select(out=None), "select"),
    "select from what is no run": Kind("There is no run.*/absent", _select(scores="/absent"), "select", alone=True),
    "select from a run without scores": Kind(
        "There is no score.*--selector=loss",
        lambda place: [f"--scores={place.finished}", f"--out={place.here / 'masks'}"],
        "select",
    ),
    "select from a cut score file": Kind("score file .*loss.npy is damaged", _select("cut"), "select"),
    "select from an empty score file": Kind("score file .*loss.npy is damaged", _select("empty"), "select"),
    "select from scores of other data": Kind("loss.npy were made for other data", _select("fingerprint"), "select"),
    "select from scores that are not numbers": Kind("score loss of image [0-9]+ is NaN", _select("nan"), "select"),
    "select without the data": Kind("data set of the run is not there", _select(data_dir="/absent"), "select"),
    "select by a score that is not there": Kind("does not have: el2n", _select(selector="el2n"), "select"),
    "select by embeddings": Kind(
        "does not have: embedding.*--selector=k_center", _select(selector="k_center"), "select"
    ),
    "select with a mixture that cannot be read": Kind(
        "--mixture cannot be read", _select(selector="mixed", mixture="loss:half"), "select"
    ),
    "select in an unknown format": Kind(
        "Unknown format.*'csv'.*text, parquet, coco", _select(formats="text,csv"), "select"
    ),
    "select as Parquet without pyarrow": Kind("pyarrow, which is not installed", _without_pyarrow, "select"),
    **{
        f"select the fractions {words!r}": Kind("--fractions cannot be read", _select(fractions=words), "select")
        for words in ("half", "0.5,", "0", "0.5,1.5", "nan", "")
    },
    "select a fraction that keeps no image": Kind(
        "--fraction keeps no image", _select(fractions="0.5,0.001"), "select"
    ),
    "select into a file": Kind("refused.*--out=thesis.txt", _select(out="thesis.txt"), "select"),
    "select into a folder that cannot be": Kind("refused.*--out=/dev/null/m", _select(out="/dev/null/m"), "select"),
    "inspect without a run": Kind("One run must be named", [], "inspect"),
    "inspect what is no run": Kind("There is no run.*/absent", ["/absent"], "inspect", alone=True),
    "inspect a run without scores": Kind("There is no score", lambda place: [str(place.finished)], "inspect"),
    "inspect a cut score file": Kind("score file .*loss.npy is damaged", _inspect("cut"), "inspect"),
    "inspect scores that are not numbers": Kind("score loss of image [0-9]+ is NaN", _inspect("nan"), "inspect"),
    "inspect scores of other data": Kind("loss.npy were made for other data", _inspect("fingerprint"), "inspect"),
    "inspect into a place that cannot be": Kind(
        "refused.*/dev/null/a.png", _inspect("", "--out=/dev/null/a.png"), "inspect"
    ),
    "inspect into a folder": Kind("refused.*run/scores", _inspect("", "--out=run/scores"), "inspect"),
    "evaluate without a checkpoint": Kind("--checkpoint is missing", _evaluate(checkpoint=None), "evaluate"),
    "evaluate without a place": Kind("--out is missing", _evaluate(out=None), "evaluate"),
    "evaluate an unknown captioner": Kind(
        "Unknown captioner that is used as it is.*'gpt'.*gemma3", _evaluate(model="gpt"), "evaluate"
    ),
    "evaluate a captioner that must be trained": Kind(
        "cannot be used without training.*--model=resnet50_lstm.*one of vit_gpt2, git, gemma3, pali_gemma, blip2",
        _evaluate(model="resnet50_lstm"),
        "evaluate",
    ),
    "evaluate on an unknown split": Kind(
        "Unknown --split.*'val'.*one of train, validation, test", _evaluate(split="val"), "evaluate"
    ),
    "evaluate on an empty split": Kind("split of flickr8k is empty", _evaluate_without_pictures, "evaluate"),
    "evaluate what is no checkpoint": Kind("There is no checkpoint.*gemma.*kaggle://", _evaluate(), "evaluate"),
    "evaluate a pickle": Kind(
        "no weights as safetensors.*pytorch_model.bin", _evaluate(_pickled_gemma), "evaluate", alone=True
    ),
    "evaluate with another encoder": Kind(
        "as KerasHub has it.*--encoder=vgg19", _evaluate(encoder="vgg19"), "evaluate"
    ),
    "evaluate with a count of words": Kind(
        "as KerasHub has it.*--min_word_count=3", _evaluate(min_word_count=3), "evaluate"
    ),
    "evaluate ours with a count of words": Kind(
        "--min_word_count=3 --checkpoint=.*gemma", _evaluate(model="git", min_word_count=3), "evaluate"
    ),
    "evaluate by drawing with beams": Kind("without beams", _evaluate(temperature=1), "evaluate"),
    "evaluate into another folder": Kind(
        "evaluated is not the folder of an evaluation.*evaluation.json",
        _evaluate(lambda place: place.file("evaluated/thesis.txt", "mine")),
        "evaluate",
    ),
    "evaluate into a run": Kind("is not the folder of an evaluation", _evaluate(Place.own_run, out="run"), "evaluate"),
    "evaluate with other settings": Kind(
        "has other settings: beams was 5 and is now 3. .*--noresume", _evaluate(_begun_evaluation(beams=5)), "evaluate"
    ),
    "evaluate with other data": Kind(
        "has other data: fingerprint was 'ffff.*--noresume", _evaluate(_begun_evaluation()), "evaluate"
    ),
    "evaluate with a cut description": Kind(
        "evaluation.json is not valid JSON", _evaluate(_begun_evaluation(content='{"settings": {')), "evaluate"
    ),
    "evaluate with a description of something else": Kind(
        "does not describe an evaluation", _evaluate(_begun_evaluation(content="[]")), "evaluate"
    ),
    "caption of a PNG bomb": Kind(
        "bomb.png cannot be captioned.*too many pixels", _picture("bomb.png", _png_header(60_000, 60_000)), "caption"
    ),
}


def _listing(folder: Path) -> dict[str, str]:
    """Path to content of all that lies in `folder`, but for a build's lock file, which is empty and harmless."""
    found = {}
    for path in folder.rglob("*"):
        if path.suffix != ".lock":
            name = str(path.relative_to(folder))
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def _alone(kind: Kind, arguments: list[str], folder: Path) -> tuple[int, str]:
    module = _SCRIPTS[kind.command].removesuffix("/__main__.py").removesuffix(".py").replace("/", ".")
    command = [sys.executable, "-m", module, *arguments]  # by path, tfcap/inspect.py would hide Python's own
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stderr


def _here(kind: Kind, arguments: list[str], monkeypatch, capfd) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", [kind.command, *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(_REPOSITORY / _SCRIPTS[kind.command]), run_name="__main__")
    return ended.value.code, capfd.readouterr().err


@pytest.mark.parametrize("name", KINDS)
def test_bad_input(name, tmp_path, toy_flags, finished_run, scenes, monkeypatch, capfd):
    kind = KINDS[name]
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path, toy_flags, finished_run, scenes, monkeypatch)
    arguments = kind.given if isinstance(kind.given, list) else kind.given(place)
    before, read_only = _listing(tmp_path), [_listing(folder) for folder in (scenes.parents[2], finished_run)]
    code, said = _alone(kind, arguments, tmp_path) if kind.alone else _here(kind, arguments, monkeypatch, capfd)
    assert code == 2, said
    assert said.startswith("error: ") and said.endswith("\n") and said.count("\n") == 1, said
    assert re.search(kind.words, said), said
    assert "Traceback" not in said
    after = _listing(tmp_path)
    if "data" not in before:
        after.pop("data", None)  # the folder of the lock file
    for listing in (before, after):
        for path in [path for path in listing if any(leave in path for leave in kind.leaves)]:
            del listing[path]
    assert after == before
    assert [_listing(folder) for folder in (scenes.parents[2], finished_run)] == read_only
