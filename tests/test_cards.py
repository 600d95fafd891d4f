"""The card of a run says what its files say: measured values, the command, what the run cannot tell."""

import shlex
import shutil

import pytest
from huggingface_hub import ModelCard

import flags
from tests.toy_study import IMAGES, write_run
from tfcap import cards, experiment, registry
from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.run_folder import CARD, description_of
from tfcap.settings import Settings


def _read(folder):
    return ModelCard((folder / CARD).read_text(encoding="utf-8"))


def _command(text):
    """The words of the command to repeat."""
    return shlex.split(text.split("## To repeat it")[1].split("```")[1].replace("\\\n", " "))


def _written(folder, history=None, **said):
    """The card of a run that was written without training."""
    settings = Settings().replace(**{"fraction": 0.5, **said}).resolve()
    write_run(folder, settings, [0.1] * len(IMAGES), ["a"] * len(IMAGES))
    write_json(folder / "history.json", {"loss": [1.0], "val_CIDEr": [0.5], **(history or {})})
    return cards.card_of_run(folder)


def test_a_finished_run_has_a_card_whose_header_holds_what_was_measured(finished_run):
    data, metrics = _read(finished_run).data, read_json(finished_run / "metrics.json")
    assert (data.language, data.library_name) == (["en"], "tfcap")
    assert (data.pipeline_tag, data.datasets) == ("image-to-text", ["scenes"])
    assert data.metrics == ["bleu", "rouge", "cider"] and {"random", "resnet50_lstm"} <= set(data.tags)
    found = {result.metric_name: result for result in data.eval_results}
    assert set(found) == {name for name, value in metrics.items() if isinstance(value, dict)} and "CIDEr" in found
    for name, result in found.items():
        expected = metrics[name]
        assert (result.metric_value, result.dataset_split) == (expected["value"], "test")
        assert result.dataset_config == "n60-s0"
        assert result.metric_args == {"interval_95": [expected["low"], expected["high"]]}


def test_its_command_leads_to_the_settings_of_the_run_and_names_no_place(finished_run, scenes_dir):
    text = _read(finished_run).text
    settings, _ = description_of(finished_run)
    said = _command(text)
    assert said[:3] == ["python", "-m", "tfcap.main"]
    assert flags.parse(["main", *said[3:]]).resolve().hash() == settings.hash()
    assert "--noxla" in said and "--selector=random" not in said and len(said) < 20
    assert str(scenes_dir.parent) not in text and str(finished_run.parent) not in text


def test_its_words_are_those_of_the_files(finished_run):
    text, metrics = _read(finished_run).text, read_json(finished_run / "metrics.json")
    assert "36 of 48 images" in " ".join(text.split()) and "METEOR was not measured. METEOR needs Java" in text
    cider = metrics["CIDEr"]
    assert f"| CIDEr | {100 * cider['value']:.1f} | {100 * cider['low']:.1f} to {100 * cider['high']:.1f} |" in text
    assert f"| weights | {metrics['parameters']:,} |" in text and "one seed (0)" in text
    assert metrics["scoring_seconds"] > 0 and "scores of" not in text  # drawing at random takes its moment too
    assert f"{100 * metrics['noise_rate_kept']:.1f} %" in text


def test_the_same_command_gives_an_older_run_its_card_and_leaves_one_that_was_edited(toy_flags, finished_run, tmp_path):
    run = tmp_path / "toy"
    shutil.copytree(finished_run, run, symlinks=True)
    (run / CARD).unlink()
    again = Settings().replace(**toy_flags, run_dir=str(run))
    experiment.run(again)
    assert (run / CARD).read_bytes() == (finished_run / CARD).read_bytes()
    (run / CARD).write_text("mine", encoding="utf-8")
    experiment.run(again)
    assert (run / CARD).read_text(encoding="utf-8") == "mine"


def test_files_are_named_without_their_place(tmp_path):
    said = {"dataset": "flickr8k", "encoder": "mobilenet_v2", "encoder_weights": "/home/me/w.weights.h5"}
    said |= {"source": "/home/me/flickr8k", "selector": "loss", "teacher": "/home/me/runs/t"}
    text = _written(tmp_path / "run", **said)
    assert "/home/me" not in text
    assert {"--source=flickr8k", "--encoder_weights=w.weights.h5", "--teacher=t"} <= set(_command(text))
    assert "@article{hodosh2013framing" in text


def test_what_is_pretrained_is_named_as_the_hub_does(tmp_path):
    said = {"model": "vit_gpt2", "dataset": "food_recipes", "checkpoint": "hf://user/name@v1", "train": "decoder"}
    data = ModelCard(_written(tmp_path / "run", **said)).data
    assert data.base_model == "user/name"


def test_an_encoder_of_the_hub_is_a_base_model_too(tmp_path):
    said = {"model": "clip_gpt2", "dataset": "food_recipes", "encoder_weights": "hf://a/clip@v1"}
    assert ModelCard(_written(tmp_path / "one", **said, tokenizer="hf://b/gpt2")).data.base_model == "a/clip"
    said |= {"checkpoint": "hf://b/gpt2", "train": "decoder"}
    assert ModelCard(_written(tmp_path / "two", **said)).data.base_model == ["a/clip", "b/gpt2"][::-1]


@pytest.mark.parametrize("dataset", ["scenes", "flickr8k", "food_recipes"])
def test_the_licence_of_the_data_is_not_given_to_the_weights(tmp_path, dataset):
    card = ModelCard(_written(tmp_path / "run", dataset=dataset))
    assert not [name for name in card.data.to_dict() if name.startswith("license")]
    words = " ".join(card.text.split())
    assert registry.DATASETS[dataset].LICENCE.words in words and "no licence was stated for the weights" in words


def test_it_says_which_data_set_was_built(finished_run, tmp_path):
    text = _read(finished_run).text
    assert "`scenes`, configuration `n60-s0`, version 1.0.0, with --scenes_size=60" in " ".join(text.split())
    assert "configuration" not in _written(tmp_path / "run")  # as an earlier version left it


def test_choices_of_the_captioner_that_are_not_the_usual_ones_are_said(tmp_path):
    said = {"model": "vit_llama", "dataset": "food_recipes", "checkpoint": "hf://user/llama", "train": "lora"}
    said |= {"encoder_weights": "hf://user/vit", "lora_rank": 4, "warmup_fraction": 0.25}
    text = _written(tmp_path / "run", **said)
    rows = {"lora rank": "4", "lora alpha": "32.0", "lora dropout": "0.1", "prefix length": "10"}
    for name, value in {**rows, "warmup fraction": "0.25"}.items():
        assert f"| {name} | {value} |" in text
    assert "clip norm" not in text  # as always


RISING = {"val_CIDEr": [0.1, 0.2, 0.9], "loss": [1.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("said", "history", "limit"),
    [
        ({"seed": 7}, {}, "One training with one seed (7)"),
        ({}, {}, "validated too seldom to tell"),
        ({}, RISING, "validation CIDEr rose by 78 % in its last third"),
        ({}, {}, "also had fewer steps"),
        ({"limit": 10}, {}, "Only the first 10 images of each split"),
        ({"dataset": "food_recipes"}, {}, "The licence of the data is not known"),
    ],
)
def test_what_the_run_cannot_tell_is_said(tmp_path, said, history, limit):
    assert limit in _written(tmp_path / "run", history, **said)


def test_what_does_not_hold_is_not_said(tmp_path):
    flat = {"val_CIDEr": [0.9, 0.9, 0.9], "loss": [1.0, 1.0, 1.0]}
    text = _written(tmp_path / "run", flat, fraction=0.5, budget_steps=True)
    assert not any(words in text for words in ("plateau", "fewer steps", "first", "licence of the data"))


def test_what_has_no_form_elsewhere_is_no_image_captioner_there(tmp_path):
    _written(tmp_path / "run")
    written = {"tensors": 3, "parameters": 12, "model_type": "gpt2", "left_out": "the encoder"}
    whole = ModelCard(cards.card_of_run(tmp_path / "run", {**written, "left_out": ""}))
    assert (whole.data.library_name, whole.data.pipeline_tag) == ("transformers", "image-to-text")
    part = ModelCard(cards.card_of_run(tmp_path / "run", written))
    assert part.data.pipeline_tag == "text-generation" and part.data.eval_results is None
    assert "the encoder" in part.text and "of the whole captioner" in part.text


def test_a_run_that_is_not_finished_has_none(tmp_path):
    _written(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json"):
        cards.write_of_run(tmp_path / "run")
    assert not (tmp_path / "run" / CARD).exists()


def _of_classes(folder, **said):
    settings = Settings().replace(**{"model": "classifier", "fraction": 0.5, "dataset": "cifar10", **said}).resolve()
    write_run(folder, settings, [1] * len(IMAGES), ["bird"] * len(IMAGES))
    return ModelCard(cards.card_of_run(folder))


def test_the_card_of_a_classifier_speaks_of_classes(tmp_path):
    card = _of_classes(tmp_path / "run")
    data, words = card.data, " ".join(card.text.split())
    assert (data.pipeline_tag, data.metrics, data.language) == ("image-classification", ["accuracy"], None)
    assert {"image-classification", "classifier"} <= set(data.tags) and "image-captioning" not in data.tags
    (result,) = data.eval_results
    assert (result.task_type, result.metric_type, result.metric_value) == ("image-classification", "accuracy", 1.0)
    assert "An image classifier with the image encoder resnet18_cifar, trained by tfcap on 10 of 20 images" in words
    assert (
        "the highest accuracy on the validation split" in words
        and "| accuracy of bird | 25.0 | 10.0 to 50.0 |" in words
    )
    assert "validation accuracy rose by" not in words and "| width | 64 |" in words and "| norm | batch |" in words
    of_captions = ("caption", "decod", "pycocoevalcap", "CIDEr", "beams", "dropout", "max tokens", "knowledge")
    assert not [word for word in of_captions if word in words.replace("image-captioning", "")]


def test_from_whom_a_student_learned_is_said_with_how_much(tmp_path):
    said = {"knowledge_distillation": True, "kd_alpha": 0.2, "teacher": "/home/me/runs/full-s0"}
    text = _of_classes(tmp_path / "taught", **said).text
    row = "| knowledge distillation | from full-s0: 0.8 of the loss (alpha 0.2), at temperature 4 |"
    assert row in text and "/home/me" not in text and "kd alpha" not in text
    text = _of_classes(tmp_path / "alone", knowledge_distillation=True).text
    assert "| from a classifier trained on all of the train split: 0.9 of the loss (alpha 0.1)" in text
