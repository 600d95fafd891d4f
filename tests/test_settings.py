"""Settings: checked when made, equal to and from JSON, and complete once resolved."""

import dataclasses
import itertools
import math
import re

import pytest

from tfcap import registry
from tfcap.effects import CLASSIFIER, USED
from tfcap.errors import InputError
from tfcap.fields import Range, plain_type, several
from tfcap.resolution import _OF_CAPTIONS, OWN_ENCODER, SHAPES
from tfcap.settings import NEUTRAL, DataSettings, Settings

GROUPS = [field.name for field in dataclasses.fields(Settings)]
FIELDS = [(group, field) for group in GROUPS for field in dataclasses.fields(getattr(Settings(), group))]


def _other(field, group):
    """A value that differs from the field's default and is within its range."""
    kind, accepted = plain_type(field, type(getattr(Settings(), group))), field.metadata["range"]
    if kind is bool:
        return not field.default
    if accepted.choices is not None:
        others = [choice for choice in accepted.choices if choice != field.default]
        return others[0] if others else pytest.skip("has one choice")
    if kind is str:
        return "elsewhere"
    low = accepted.low if not accepted.open_low else accepted.low + 0.01
    high = low + 1 if accepted.high is None else accepted.high
    return next(kind(value) for value in (low, high) if value != field.default)


every_field = pytest.mark.parametrize(
    ("group", "field"), FIELDS, ids=[f"{group}.{field.name}" for group, field in FIELDS]
)


def test_names_of_fields_are_unique_over_all_groups():
    """`replace`, `get` and the command line know no groups."""
    names = [field.name for _, field in FIELDS]
    assert len(set(names)) == len(names)


def test_only_names_of_fields_are_neutral():
    assert {field.name for _, field in FIELDS} >= NEUTRAL


@every_field
def test_every_field_is_replaced_read_and_survives_json(group, field):
    settings = Settings().replace(**{field.name: _other(field, group)})
    assert settings.get(field.name) == _other(field, group) != field.default
    assert settings != Settings()
    assert Settings.from_json(settings.to_json()) == settings


@every_field
def test_a_difference_is_seen_exactly_where_the_field_changes_the_numbers(group, field):
    ours, theirs = Settings(), Settings().replace(**{field.name: _other(field, group)})
    expected = {} if field.name in NEUTRAL else {field.name: (field.default, _other(field, group))}
    assert ours.difference(theirs) == expected
    assert (ours.hash() == theirs.hash()) == (field.name in NEUTRAL)


@every_field
def test_a_value_of_another_type_is_refused(group, field):
    for wrong in ([], object()):
        with pytest.raises(InputError, match=f"--{field.name} has the wrong type"):
            Settings().replace(**{field.name: wrong})


RANGED = [(group, field) for group, field in FIELDS if field.metadata["range"].low is not None]


@pytest.mark.parametrize(("group", "field"), RANGED, ids=[field.name for _, field in RANGED])
def test_a_value_outside_the_range_is_refused_and_its_ends_are_not(group, field):
    accepted, kind = field.metadata["range"], plain_type(field, type(getattr(Settings(), group)))
    for end in (accepted.low, accepted.high):
        if end is not None and not (accepted.open_low and end == accepted.low):
            assert Settings().replace(**{field.name: kind(end)}).get(field.name) == end
    outside = [accepted.low - 1, *([accepted.low] if accepted.open_low else [])]
    outside += [] if accepted.high is None else [accepted.high + 1]
    outside += [math.nan, math.inf] if kind is float and accepted.high is not None else []
    for value in outside:
        with pytest.raises(InputError, match=rf"--{field.name} is out of range.*Received: .*Expected: "):
            Settings().replace(**{field.name: kind(value)})


def test_a_whole_number_is_a_float_too_and_true_is_no_number():
    assert Settings().replace(fraction=1).selection.fraction == 1.0
    assert isinstance(Settings().replace(fraction=1).selection.fraction, float)
    with pytest.raises(InputError, match="--seed has the wrong type.*True.*int"):
        Settings().replace(seed=True)


@pytest.mark.parametrize("name", ["dataset", "selector", "model", "encoder"])
def test_an_unknown_name_lists_the_known_ones(name):
    (accepted,) = [field.metadata["range"] for _, field in FIELDS if field.name == name]
    with pytest.raises(InputError, match="Unknown .*'nonsense'.*one of " + ", ".join(accepted.choices)):
        Settings().replace(**{name: "nonsense"})


def test_names_joined_by_commas_are_each_known_and_said_once():
    for names in ("", "aum", "loss, aum", "aum,loss"):
        assert Settings().replace(track=names).training.track == names
    assert several("") == [] and several("loss, aum") == ["loss", "aum"]
    for names in ("depth", "loss,depth", "loss,", ","):
        with pytest.raises(InputError, match=r"Unknown tracked signal.*one of loss, gradient_norm, forgetting, aum"):
            Settings().replace(track=names)
    with pytest.raises(InputError, match=r"--track names one twice. Received: 'aum,aum'"):
        Settings().replace(track="aum,aum")


def test_an_unknown_field_or_group_is_refused():
    with pytest.raises(InputError, match="Unknown setting.*epoch"):
        Settings().replace(epoch=3)
    with pytest.raises(InputError, match="Unknown setting.*warp"):
        Settings.from_json({"training": {"warp": 1}})
    with pytest.raises(InputError, match="Unknown setting.*warp"):
        Settings().get("warp")


def test_a_group_checks_itself_without_the_others():
    with pytest.raises(InputError, match="--image_size is out of range"):
        DataSettings(image_size=8)


@pytest.mark.parametrize(
    ("accepted", "words"),
    [
        (Range(low=0, high=1, open_low=True), "in (0, 1]"),
        (Range(low=0, high=1, unit="m"), "in [0, 1] m"),
        (Range(low=2), "at least 2"),
        (Range(low=2, open_low=True), "above 2"),
        (Range(choices=("a", "b")), "one of a, b"),
        (Range(choices=("a", "b"), several=True), "none or some of a, b, joined by commas"),
        (Range(unit="folder"), "folder"),
        (Range(), ""),
    ],
)
def test_ranges_in_words(accepted, words):
    assert str(accepted) == words


# Resolving.


USERS = {name: [captioner for captioner in USED if name in USED[captioner]] for used in USED.values() for name in used}
PARTS = (None, "all", "encoder", "decoder", "projection", "lora")


def _accepted():
    """Settings of every captioner, proxy, checkpoint and part that trains, and what they are once resolved."""
    for dataset, model, proxy, checkpoint, train in itertools.product(
        ("scenes", "flickr8k"), USED, (None, *USED), ("", "folder"), PARTS
    ):
        if CLASSIFIER in (model, proxy) and (checkpoint or {model, proxy} - {CLASSIFIER, None}):
            continue  # refused, as below
        asked = Settings().replace(
            dataset=dataset,
            model=model,
            proxy=proxy,
            checkpoint=checkpoint,
            train=train,
            encoder=OWN_ENCODER.get(model) or OWN_ENCODER.get(proxy),
        )
        has_weights = dataset == "scenes" and train in (None, "all", "encoder")
        asked = asked if has_weights else asked.replace(encoder_weights="weights")
        if {"vit_llama"} < {model, proxy} & {*SHAPES} and not checkpoint:
            asked = asked.replace(shape="tiny")  # the one that Llama and the others have
        if checkpoint and model not in SHAPES or train == "lora" and model != "vit_llama":
            continue  # refused, as below
        if train in (None, "all", "decoder") or checkpoint:
            yield asked, asked.resolve()


def test_every_captioner_says_which_settings_it_uses():
    assert set(USED) == set(registry.CAPTIONERS)
    assert {field.name for _, field in FIELDS} >= set(USERS)


def test_resolving_fills_what_has_an_effect_and_nothing_else_and_twice_is_once():
    """But for how long a proxy trains, which each score answers for itself."""
    seen = set()
    for asked, resolved in _accepted():
        values = resolved.by_name()
        model, proxy, checkpoint = (values[name] for name in ("model", "proxy", "checkpoint"))
        used = {*USED[model], *USED[proxy]} - {"attention"}  # which is not open, but off
        used -= {"lora_rank", "lora_alpha", "lora_dropout"}
        if checkpoint and (proxy == model or "shape" not in USED[proxy]):
            used -= {"shape"}
        if values["train"] == "lora":
            used |= {name for name in USED[model] if name.startswith("lora_")}
        used |= set() if checkpoint or model == CLASSIFIER else {"min_word_count"}
        used |= {"norm", "width"} if values["encoder"] == "resnet18_cifar" else set()
        others = {"proxy_epochs", "min_word_count", "norm", "width", "kd_alpha", "kd_temperature"}
        expected = {*others, *USERS} - {"attention"} - used
        assert {name for name, value in values.items() if value is None} == expected, asked
        assert resolved.resolve() == resolved == resolved.with_effect(), asked
        seen.add((model, bool(checkpoint), asked.model.train))
    parts = len(USED) * 3 + len(SHAPES) * (len(PARTS) - 1) + 1  # of checkpoints any part, adapters of Llama alone
    assert len(seen) == parts


def test_a_captioner_that_is_trained_beside_another_has_what_it_needs_and_no_more():
    for asked, resolved in _accepted():
        proxy = resolved.selection.proxy
        beside = resolved.beside(proxy)
        if proxy == resolved.model.model:
            assert beside is resolved
            continue
        values = beside.by_name()
        needed = set(USED[proxy]) - {"lora_rank", "lora_alpha", "lora_dropout"}
        assert all(values[name] is not None for name in needed), asked
        assert all(values[name] is None for name in set(USERS) - needed - {"attention"}), asked
        assert (values["checkpoint"], values["tokenizer"]) == ("", resolved.model.checkpoint)
        assert values["train"] == ("decoder" if resolved.model.freeze_encoder else "all")


def _idle():
    """Settings that have no effect, and what is said of the first of them."""
    given = {"shape": "tiny", "mapper": "mlp", "prefix_length": 3, "attention": True, "units": 9, "embedding_size": 9}
    given |= {"lora_rank": 2, "lora_alpha": 1.0, "lora_dropout": 0.0, "tie_embeddings": False}
    for model, (name, value) in itertools.product(USED, given.items()):
        if name not in USED[model]:
            yield {name: value, "model": model}, rf"--model={model}\. Expected: .*{', '.join(USERS[name])}"
    needs = "Expected: .* and "
    for model in USERS["mapper"]:
        yield {"attention": True, "model": model}, f"Received: --attention --model={model}.*{needs}--mapper=transformer"
        yield {"attention": True, "model": model, "mapper": "mlp"}, f"--mapper=mlp.*{needs}--mapper=transformer"
    for model in USERS["shape"]:
        yield (
            {"shape": "tiny", "model": model, "checkpoint": "folder"},
            rf"--checkpoint=folder\. {needs}no --checkpoint",
        )
    for name in ("lora_rank", "lora_alpha", "lora_dropout"):
        yield {name: given[name], "model": "vit_llama"}, rf"--model=vit_llama\. {needs}--train=lora"
        yield {name: given[name], "model": "vit_llama", "train": "all"}, rf"--train=all\. {needs}--train=lora"
    for name in ("tokenizer", "checkpoint"):
        words = rf"Received: --min_word_count=2 --{name}=folder --model=git\. Expected: neither"
        yield {"min_word_count": 2, "model": "git", name: "folder"}, words
    words = r"--beams=1 --model=resnet50_lstm\. Expected: --beams above 1 of a captioner"
    yield {"early_stopping": True, "beams": 1}, words
    words = r"--beams=3 --model=classifier\. Expected: --beams above 1 of a captioner"
    yield {"early_stopping": True, "model": CLASSIFIER}, words
    yield {"min_word_count": 2, "model": CLASSIFIER}, "--min_word_count=2 --model=classifier.*but a captioner with"
    for name, value in (("norm", "group"), ("width", 8)):
        yield {name: value}, rf"Received: --{name}={value}\. Expected: --encoder=resnet18_cifar"
        yield {name: value, "model": CLASSIFIER, "encoder": "small_resnet"}, "--encoder=small_resnet. Expected: --enc"
    for name in ("kd_alpha", "kd_temperature"):
        yield {name: 0.5}, rf"--{name}=0\.5 --noknowledge_distillation\. Expected: --knowledge_distillation"
    yield {"units": 9, "model": "git", "proxy": "vit_llama"}, "--units=9 --model=git --proxy=vit_llama"
    yield {"mapper": "mlp", "proxy": "vit_gpt2"}, "--mapper=mlp --model=resnet50_lstm --proxy=vit_gpt2"
    yield {"tie_embeddings": True, "model": "git"}, "Received: --tie_embeddings --model=git"


IDLE = list(_idle())


@pytest.mark.parametrize(("said", "words"), IDLE, ids=["-".join(map(str, said.values())) for said, _ in IDLE])
def test_what_would_have_no_effect_is_refused(said, words):
    with pytest.raises(InputError, match=f"--{next(iter(said))} would have no effect. Received: .*") as caught:
        Settings().replace(**said).resolve()
    assert re.search(words, str(caught.value))
    Settings().replace(**said).with_effect().resolve()


@pytest.mark.parametrize(
    "said",
    [
        {"units": 9, "embedding_size": 9, "tie_embeddings": True, "model": "git", "proxy": "resnet50_lstm"},
        {"units": 9, "model": "resnet50_lstm", "proxy": "git"},
        {"shape": "small", "model": "resnet50_lstm", "proxy": "git"},
        {"shape": "small", "model": "git", "checkpoint": "folder", "proxy": "vit_gpt2"},
        {"mapper": "mlp", "prefix_length": 3, "model": "git", "proxy": "clip_gpt2"},
        {"attention": True},
        {"attention": True, "model": "git", "proxy": "resnet50_lstm"},
        {"attention": True, "model": "clip_gpt2", "mapper": "transformer"},
        {"lora_rank": 2, "lora_dropout": 0.0, "model": "vit_llama", "checkpoint": "folder", "train": "lora"},
        {"min_word_count": 2, "model": "git"},
        {"early_stopping": True, "beams": 2},
        {"norm": "group", "width": 8, "model": "classifier"},
        {"norm": "batch", "width": 1, "encoder": "resnet18_cifar"},
        {"kd_alpha": 0.0, "kd_temperature": 1.0, "knowledge_distillation": True},
        {"augment": "pad_crop", "model": "classifier", "knowledge_distillation": True, "kd_alpha": 1.0},
    ],
    ids=lambda said: "-".join(map(str, said.values())),
)
def test_what_the_captioner_or_its_proxy_uses_is_kept(said):
    more = {"encoder_weights": "weights"} if said.get("train") == "lora" else {}
    resolved = Settings().replace(**said, **more).resolve()
    assert {name: resolved.get(name) for name in said} == said


def test_llama_has_a_shape_of_its_own_as_a_proxy_too():
    photographs = Settings().replace(dataset="flickr8k", encoder_weights="weights")
    for said, shape in (
        ({"model": "git"}, "base"),
        ({"model": "vit_llama"}, "1b"),
        ({"proxy": "vit_llama"}, "1b"),
        ({"model": "git", "proxy": "vit_llama", "shape": "tiny"}, "tiny"),
        ({"model": "git", "checkpoint": "folder", "proxy": "vit_llama"}, "1b"),
    ):
        assert photographs.replace(**said).resolve().model.shape == shape


def test_scenes_train_a_small_encoder_and_photographs_a_frozen_pretrained_one():
    scenes, photographs = Settings().resolve(), Settings().replace(dataset="flickr8k").resolve()
    for settings, expected in (
        (scenes, ("small_resnet", "none", 64, False, "crop")),
        (photographs, ("resnet50", "imagenet", 224, True, "none")),
    ):
        names = ("encoder", "encoder_weights", "image_size", "freeze_encoder", "augment")
        assert tuple(settings.get(name) for name in names) == expected


@pytest.mark.parametrize("dataset", [name for name in registry.DATASETS if name != "distilled"])  # needs its folder
def test_vgg19_lstm_has_vgg19_on_every_data_set_unless_another_is_said(dataset):
    """`scenes` has a small encoder for resnet50_lstm; under this name it would be another experiment."""
    asked = Settings().replace(dataset=dataset, model="vgg19_lstm")
    resolved = asked.resolve()
    names = ("encoder", "encoder_weights", "image_size", "freeze_encoder", "proxy")
    assert tuple(map(resolved.get, names)) == ("vgg19", "imagenet", 224, True, "vgg19_lstm")
    assert resolved.run.run_dir == f"runs/{dataset}-vgg19_lstm-random-0.75-s0"
    assert asked.replace(encoder="mobilenet_v2").resolve().model.encoder == "mobilenet_v2"


def test_vgg19_lstm_differs_from_resnet50_lstm_in_the_encoder_alone():
    ours, theirs = (
        Settings().replace(dataset="flickr8k", model=model).resolve() for model in ("vgg19_lstm", "resnet50_lstm")
    )
    different = ours.difference(theirs)
    assert different.pop("model") == different.pop("proxy") == ("vgg19_lstm", "resnet50_lstm")
    assert different == {"encoder": ("vgg19", "resnet50")}
    same = Settings().replace(dataset="flickr8k", encoder="vgg19")
    assert same.replace(proxy="vgg19_lstm").resolve().model.encoder == "vgg19"


@pytest.mark.parametrize("dataset", ["scenes", "flickr8k"])
def test_a_classifier_is_the_published_resnet_18_on_small_pictures(dataset):
    resolved = Settings().replace(dataset=dataset, model=CLASSIFIER, knowledge_distillation=True).resolve()
    expected = {
        "encoder": "resnet18_cifar",
        "encoder_weights": "none",
        "norm": "batch",
        "width": 64,
        "train": "all",
        "image_size": 32,
        "freeze_encoder": False,
        "augment": "pad_crop_flip",
        "proxy": CLASSIFIER,
        "epochs": 30,
        "batch_size": 128,
        "validate_every": 5,
        "kd_alpha": 0.1,
        "kd_temperature": 4.0,
    }
    assert {name: resolved.get(name) for name in expected} == expected
    assert resolved.quality == "accuracy" and Settings().resolve().quality == "CIDEr"
    assert resolved.resolve() == resolved


def test_what_a_classifier_has_no_use_for_is_refused_unless_it_is_the_default():
    """The value that stands for nobody having said it is the field's own default."""
    assert {name: Settings().get(name) for name in _OF_CAPTIONS} == _OF_CAPTIONS
    for group, field in FIELDS:
        if field.name in _OF_CAPTIONS:
            value = _other(field, group)
            with pytest.raises(InputError, match=f"--{field.name} would have no effect on a classifier.*{value}"):
                Settings().replace(model=CLASSIFIER, **{field.name: value}).resolve()


def test_what_was_said_is_kept():
    said = {"encoder": "mobilenet_v2", "encoder_weights": "none", "image_size": 96, "epochs": 3, "units": 7}
    resolved = Settings().replace(**said).resolve()
    assert {name: resolved.get(name) for name in said} == said
    assert resolved.model.freeze_encoder is False


def test_every_captioner_has_the_shapes_that_its_decoder_has():
    from tfcap.models import git, gpt2, llama_shape

    decoders = {"clip_gpt2": gpt2, "vit_gpt2": gpt2, "git": git, "vit_llama": llama_shape}
    assert {name: tuple(decoder.SHAPES) for name, decoder in decoders.items()} == SHAPES
    every = dict.fromkeys(shape for shapes in SHAPES.values() for shape in shapes)
    accepted = next(field.metadata["range"].choices for _, field in FIELDS if field.name == "shape")
    assert set(accepted) == set(every)


def test_the_run_folder_is_named_after_what_was_asked():
    assert Settings().resolve().run.run_dir == "runs/scenes-resnet50_lstm-random-0.75-s0"
    named = Settings().replace(selector="loss", fraction=0.05, seed=3, dataset="flickr8k").resolve()
    assert named.run.run_dir == "runs/flickr8k-resnet50_lstm-loss-0.05-s3"
    assert Settings().replace(run_dir="here").resolve().run.run_dir == "here"
    pretrained = Settings().replace(model="vit_gpt2", checkpoint="hf://user/name@main", train="all").resolve()
    assert pretrained.run.run_dir == "runs/scenes-vit_gpt2-name@main-all-random-0.75-s0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze_encoder": True}, "would stay random.*--freeze_encoder.*--nofreeze_encoder"),
        ({"train": "decoder"}, "would stay random.*Received: --train=decoder.*or --train=all"),
        ({"model": "git", "train": "lora", "checkpoint": "folder"}, "git has no low-rank adapters.*--model=vit_llama"),
        ({"checkpoint": "folder"}, "resnet50_lstm is not read from a checkpoint.*--checkpoint=folder"),
        ({"dataset": "flickr8k", "model": "vit_gpt2"}, "--encoder_weights is missing.*--encoder=vit_b16.*or none"),
        ({"model": "git", "shape": "large"}, "no such shape of git.*--shape=large.*Expected: tiny, mini, small, base"),
        (
            {"model": "vit_llama", "proxy": "clip_gpt2", "shape": "1b"},
            "no such shape of vit_llama and clip_gpt2.*Expected: tiny",
        ),
        (
            {
                "model": "clip_gpt2",
                "proxy": "resnet50_lstm",
                "attention": True,
                "train": "decoder",
                "encoder_weights": "weights",
            },
            "cannot attend to regions.*--mapper=linear.*--mapper=transformer, or --noattention",
        ),
        (
            {"encoder": "resnet50", "freeze_encoder": True, "augment": "flip"},
            "cannot be augmented.*--augment=flip.*--augment=none",
        ),
        (
            {"proxy": "vgg19_lstm"},
            "proxy vgg19_lstm would see through small_resnet.*--model=resnet50_lstm.*--encoder=vgg19, or another proxy",
        ),
        ({"coco_split": "karpathy"}, "--coco_split=karpathy needs the split file.*--karpathy_json"),
        ({"temperature": 0.7}, "without beams.*--temperature=0.7 --beams=3.*--beams=1, or --temperature=0"),
        ({"top_p": 0.9}, "none is drawn.*--top_p=0.9 --temperature=0.*--temperature above 0"),
        ({"proxy": "classifier"}, "do not score for each other.*--proxy=classifier --model=resnet50_lstm"),
        ({"model": "classifier", "proxy": "git"}, "do not score for each other.*--proxy=git --model=classifier"),
        ({"model": "classifier", "proxy": "vgg19_lstm"}, "do not score for each other.*--proxy=vgg19_lstm"),
        (
            {"model": "classifier", "image_dropout": 0.5},
            "image_dropout would have no effect on a classifier.*--image_dropout=0.5",
        ),
        ({"model": "classifier", "track": "loss, gradient_norm"}, "mixes the images.*--track=.*--norm=group"),
        ({"encoder": "resnet18_cifar", "track": "gradient_norm"}, "mixes the images.*--norm=group, or another signal"),
        (
            {"knowledge_distillation": True, "proxy_epochs": 0},
            "--proxy_epochs=0 --knowledge_distillation.*or --teacher",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Settings().replace(**changes).resolve()


@pytest.mark.parametrize(
    "said",
    [
        {"model": "classifier", "track": "gradient_norm", "norm": "group"},
        {"model": "classifier", "track": "loss,forgetting,aum"},
        {"track": "gradient_norm"},
        {"knowledge_distillation": True, "proxy_epochs": 0, "teacher": "run"},
    ],
)
def test_what_does_not_contradict_is_kept(said):
    resolved = Settings().replace(**said).resolve()
    assert {name: resolved.get(name) for name in said} == said


def test_the_hash_is_stable():
    """Written into every run: the same settings must be recognised by the next version, too."""
    first = Settings().resolve().hash()
    assert len(first) == 16 and int(first, 16) >= 0
    assert Settings().resolve().hash() == first
    assert Settings().replace(data_dir="x", run_dir="y", xla=False).resolve().hash() == first
    assert Settings().replace(seed=1).resolve().hash() != first


def test_image_features_are_dropped_like_words_unless_said_otherwise():
    assert Settings().replace(dropout=0.2).resolve().model.image_dropout == 0.2
    assert Settings().replace(dropout=0.2, image_dropout=0.0).resolve().model.image_dropout == 0.0
