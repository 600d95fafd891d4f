"""Which runs can teach: those whose frozen part, and whose view of an image, are the proxy's."""

import pytest

from tfcap.data.text import WordTokenizer
from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.run_folder import RunFolder
from tfcap.settings import Settings
from tfcap.teacher import teacher_in

TOKENIZER = WordTokenizer.fit(["a dog runs", "a cat"], 1, 12)
ON_VIT = {"dataset": "flickr8k", "encoder": "vit", "encoder_weights": "vit-folder"}


def _run(folder, contents, **said):
    """A finished run, as far as a teacher is looked at before it is loaded."""
    RunFolder(Settings().replace(**said, run_dir=str(folder)).resolve()).describe({"train": "f"}, contents)
    TOKENIZER.save(folder / TOKENIZER.saved_as)
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "state.json").write_text("{}", encoding="utf-8")
    (folder / "checkpoints" / "BEST").write_text("step-1", encoding="utf-8")
    return folder


def _teacher(run, contents=None, **said):
    ours = Settings().replace(**{"proxy": "resnet50_lstm", **said}).resolve()
    return teacher_in(run, ours, ours.replace(model="resnet50_lstm", checkpoint=""), TOKENIZER, contents or {})


def test_one_that_saw_a_vector_an_image_cannot_stand_for_a_proxy_that_is_given_one_a_region(tmp_path):
    run = _run(tmp_path / "run", {}, **ON_VIT)
    assert _teacher(run, **ON_VIT) == run / "checkpoints" / "step-1"
    with pytest.raises(InputError, match="other features than --model=git.*an image.*a region.*--model=resnet50_lstm"):
        _teacher(run, **ON_VIT, model="git")


def test_where_each_trains_its_own_encoder_each_has_the_features_that_it_is_made_for(tmp_path):
    ours = {"dataset": "flickr8k", "encoder": "vit_b16", "encoder_weights": "none"}
    run = _run(tmp_path / "run", {}, **ours)
    assert _teacher(run, **ours, model="git") == run / "checkpoints" / "step-1"


@pytest.mark.parametrize(("name", "then", "now"), [("image_size", 160, 224), ("encoder_weights", "imagenet", "a.h5")])
def test_a_frozen_encoder_sees_as_the_teacher_s_did(tmp_path, name, then, now):
    said = {"dataset": "flickr8k", "encoder": "mobilenet_v2"}
    run = _run(tmp_path / "run", {}, **said, **{name: then})
    assert _teacher(run, **said, **{name: then}) == run / "checkpoints" / "step-1"
    with pytest.raises(InputError, match=f"another captioner.*--{name}={then}.*--{name}={now}"):
        _teacher(run, **said, **{name: now})


def test_its_frozen_encoder_has_the_content_that_ours_has(tmp_path):
    run = _run(tmp_path / "run", {"encoder_weights": "a" * 64}, **ON_VIT)
    _teacher(run, {"encoder_weights": "a" * 64}, **ON_VIT)
    with pytest.raises(InputError, match="--encoder_weights names has other content than when the teacher .* began"):
        _teacher(run, {"encoder_weights": "b" * 64}, **ON_VIT)
    about = read_json(run / "experiment.json")
    del about["contents"]
    write_json(run / "experiment.json", about)
    _teacher(run, {"encoder_weights": "b" * 64}, **ON_VIT)  # from before that was said


def test_weights_that_were_trained_are_its_own_whatever_they_began_with(tmp_path):
    said = {**ON_VIT, "train": "all"}
    run = _run(tmp_path / "run", {"encoder_weights": "a" * 64}, **said)
    assert _teacher(run, {"encoder_weights": "b" * 64}, **said) == run / "checkpoints" / "step-1"
