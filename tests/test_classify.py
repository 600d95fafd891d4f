"""Whole experiments of a classifier on the embedded data set of classes; the scenarios of study S5 in miniature."""

import collections
import json

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import tfrecords_builder
from tests.crash import killing
from tfcap import experiment
from tfcap.data.masks import Mask
from tfcap.data.records import Records
from tfcap.preparation import Preparation
from tfcap.scored_run import ScoredRun
from tfcap.selection import Signals
from tfcap.selection.class_balanced import ClassBalanced
from tfcap.selection.k_means import KMeansPrototypes
from tfcap.settings import DataSettings, Settings
from tfcap.training import checkpoint
from tfcap.training.knowledge import TaughtCaptioner
from tfrecords_builder.objects import CLASSES

TOY = {
    "dataset": "objects",
    "scenes_size": 60,
    "image_size": 16,
    "model": "classifier",
    "width": 1,
    "epochs": 1,
    "batch_size": 16,
    "selector": "k_means",
    "class_balanced": True,
    "fraction": 0.5,
    "knowledge_distillation": True,
    "xla": False,
    "export": False,
    "progress": False,
    "samples": 1,
}


def _json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student of one epoch, on half of each class, and its teacher of one epoch: the settings of the finished run."""
    folder = tmp_path_factory.mktemp("classifiers")
    settings = Settings().replace(**TOY, data_dir=str(folder / "data"), run_dir=str(folder / "run")).resolve()
    experiment.run(settings)
    return settings


@pytest.fixture(scope="module")
def prep(student):
    """The finished run, opened again."""
    return Preparation(student)


def test_its_accuracy_is_that_of_its_predictions(prep):
    test, metrics = prep.records["test"], _json(prep.folder / "metrics.json")
    said = {one["image_id"]: one["caption"] for one in _json(prep.folder / "captions.json")}
    assert list(said) == test.ids.tolist() and set(said.values()) <= set(CLASSES)
    right = [said[int(number)] == name for number, (name,) in zip(test.ids, test.captions, strict=True)]
    assert len(right) == 6 and metrics["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert list(metrics["per_class"]) == sorted(name for (name,) in test.captions)
    assert _json(prep.folder / "per_image.json")["accuracy"] == right
    assert "CIDEr" not in metrics and metrics["examples_kept"] == 24
    assert (prep.folder / "classes.txt").read_text(encoding="utf-8").split() == list(CLASSES)


def test_it_keeps_the_nearest_to_its_teacher_s_centroids_of_half_of_each_class(prep):
    train, embedding = prep.records["train"], np.load(prep.folder / "scores" / "embedding.npy")
    mask = Mask.load(prep.folder / "masks", "k_means-0.5", train)
    assert embedding.shape == (48, 8)
    labels = train.truth("label")
    np.testing.assert_array_equal(prep.labels, labels)
    sizes, kept = np.bincount(labels), np.bincount(labels[mask.positions])
    assert set(sizes.tolist()) == {4, 5} and (np.abs(kept - sizes / 2) <= 0.5).all() and kept.sum() == 24
    signals = Signals(train.ids, embeddings=embedding, labels=labels)
    expected = ClassBalanced(KMeansPrototypes())(signals, 24, np.random.default_rng(0))
    assert mask.ids.tolist() == expected.tolist()
    np.testing.assert_array_equal(ScoredRun(prep.folder.path).labels(), labels)


def test_what_is_clustered_are_the_features_of_its_teacher_with_its_moving_statistics(prep):
    """Of whole pictures, one by one, which batch normalisation in training mode would make others of."""
    teacher, train = prep.new_captioner(), prep.records["train"]
    checkpoint.restore(checkpoint.find(prep.folder / "proxy"), teacher)
    plain = prep.inputs("validation")
    plain.records = train
    some = np.array([47, 3, 20])
    ((_, images),) = plain.stream([some])
    found = np.concatenate([teacher.encode(tf.constant(image[None])) for image in images])
    np.testing.assert_allclose(np.load(prep.folder / "scores" / "embedding.npy")[some], found, atol=1e-5)


def test_it_learns_from_that_teacher(prep):
    path = checkpoint.find(prep.folder / "proxy")
    about = _json(prep.folder / "teacher.json")
    assert about["checkpoint"] == checkpoint.identity(path) and about["train_seconds"] > 0
    both = experiment._objective(prep, prep.new_captioner())
    assert isinstance(both, TaughtCaptioner) and (both.alpha, both.temperature) == (0.1, 4.0)
    stored = load_file(path / "state.safetensors")
    kernel = next(name for name in stored if name.startswith("model/") and name.endswith("class_logits/kernel"))
    np.testing.assert_array_equal(both.teacher.class_logits.kernel, stored[kernel])
    costs = _json(prep.folder / "metrics.json")
    assert costs["scoring_seconds"] >= about["train_seconds"] and costs["teacher_seconds"] == 0


def test_its_best_checkpoint_is_that_of_the_highest_accuracy_and_holds_the_moving_statistics(prep):
    history = _json(prep.folder / "history.json")
    state = _json(checkpoint.find(prep.folder / "checkpoints", checkpoint.BEST) / "state.json")
    assert [state["best"]] == history["val_accuracy"] and "val_CIDEr" not in history
    stored = load_file(checkpoint.find(prep.folder / "checkpoints") / "state.safetensors")
    kinds = collections.Counter(name.rsplit("/")[-1] for name in stored if name.startswith("model/"))
    assert kinds == {"kernel": 21, "bias": 1, **dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), 20)}


# The scenarios, each by the command that a user gives.

SAID = {
    "dataset": "objects",
    "scenes_size": 1500,
    "model": "classifier",
    "width": 8,
    "batch_size": 32,
    "epochs": 6,
    "learning_rate": 0.005,
    "validate_every": 3,
    "strategy": "single",
    "samples": 1,
    "eval_batch_size": 60,
}
KEPT = {"selector": "k_means", "class_balanced": "true", "fraction": 0.2, "epochs": 12, "batch_size": 16}
SCENARIOS = {
    "full": {"fraction": 1, "augment": "none"},
    "kept": {**KEPT, "augment": "none"},
    "varied": {**KEPT, "augment": "pad_crop_flip"},
    "taught": {**KEPT, "augment": "pad_crop_flip", "knowledge_distillation": "true"},
}


def _flags(said):
    return [*(f"--{name}={value}" for name, value in {**SAID, **said}.items()), "--noxla", "--noprogress"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    described = DataSettings(dataset="objects", scenes_size=SAID["scenes_size"], data_dir=str(folder))
    return folder, tfrecords_builder.build(described, progress=False)


def _beside(folder, data):
    """Returns an empty folder for a run, with the data set in it."""
    folder.mkdir()
    (folder / "data").symlink_to(data[0])
    return folder


@pytest.fixture(scope="module")
def scenarios(data, tmp_path_factory):
    """The run folders of the four; the teacher of the last three is the first."""
    runs, root = {}, tmp_path_factory.mktemp("scenarios")
    for name, said in SCENARIOS.items():
        teacher = {"teacher": runs["full"]} if runs else {}
        killing.complete(_beside(root / name, data), _flags({**said, **teacher}))
        runs[name] = root / name / "run"
    return runs


@pytest.mark.slow
def test_each_scenario_learns_and_more_from_a_teacher_and_most_from_all_of_train(scenarios):
    found = {name: _json(run / "metrics.json") for name, run in scenarios.items()}
    assert {name: one["examples_kept"] for name, one in found.items()} == {
        "full": 1200,
        **dict.fromkeys(("kept", "varied", "taught"), 240),
    }
    accuracy = {name: one["accuracy"]["value"] for name, one in found.items()}
    assert accuracy["full"] > 0.4 and accuracy["full"] == max(accuracy.values())
    assert min(accuracy.values()) > 0.15 and accuracy["taught"] > accuracy["varied"]  # a tenth is chance


@pytest.mark.slow
def test_the_kept_are_the_same_in_all_and_of_each_class_as_many(scenarios, data):
    train = Records(data[1], "train")
    masks = [Mask.load(scenarios[name] / "masks", "k_means-0.2", train) for name in ("kept", "varied", "taught")]
    assert masks[0].ids.tolist() == masks[1].ids.tolist() == masks[2].ids.tolist()
    counts = np.bincount(train.truth("label")[masks[0].positions], minlength=10)
    assert counts.tolist() == [24] * 10


@pytest.mark.slow
def test_a_teacher_changes_what_is_learned_and_is_named(scenarios):
    losses = {name: _json(scenarios[name] / "history.json")["loss"] for name in ("varied", "taught")}
    assert np.abs(np.subtract(*losses.values())).min() > 1e-3
    about = _json(scenarios["taught"] / "teacher.json")
    best = checkpoint.find(scenarios["full"] / "checkpoints", checkpoint.BEST)
    assert about["checkpoint"] == checkpoint.identity(best) and about["train_seconds"] == 0
    seconds = {name: _json(scenarios[name] / "metrics.json")["teacher_seconds"] for name in ("full", "kept", "taught")}
    assert seconds["full"] == 0 and seconds["kept"] == seconds["taught"] > 0
    assert not (scenarios["varied"] / "teacher.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "taught"])
def test_the_exported_model_names_the_classes_of_captions_json(scenarios, data, name):
    test = Records(data[1], "test")
    parsed = [tf.train.Example.FromString(raw).features.feature for raw in test.raw(range(len(test)))]
    serve = tf.saved_model.load(str(scenarios[name] / "saved_model")).signatures["serving_default"]
    answer = serve(image_bytes=tf.constant([feature["image"].bytes_list.value[0] for feature in parsed]))
    said = [one["caption"] for one in _json(scenarios[name] / "captions.json")]
    assert [text.decode() for text in answer["caption"].numpy()] == said and len(set(said)) > 3
    assert (answer["score"].numpy() < 0).all() and (answer["score"].numpy() > np.log(0.1)).all()


def _results(run):
    """Returns all that must not depend on kills, without times."""
    paths = [checkpoint.find(run / "checkpoints", pointer) for pointer in (checkpoint.LATEST, checkpoint.BEST)]
    return {
        "captions": (run / "captions.json").read_bytes(),
        **{name: killing.without_times(run / f"{name}.json") for name in ("metrics", "history", "teacher")},
        "checkpoints": [(path.name, (path / "state.safetensors").read_bytes()) for path in paths],
        "embedding": (run / "scores" / "embedding.npy").read_bytes(),
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_student_killed_while_its_teacher_or_it_itself_trains_ends_as_one_that_was_not(data, tmp_path):
    said = {**SCENARIOS["taught"], "proxy_epochs": 1, "epochs": 1, "checkpoint_every": 1, "width": 1}
    flags = [*_flags(said), "--noexport"]
    whole, killed = (_beside(tmp_path / name, data) for name in ("whole", "killed"))
    killing.complete(whole, flags)
    for moment in (killing.steps_done("proxy", 20), killing.steps_done("checkpoints", 8)):
        assert killing.killed(killed, moment, flags=flags)
    killing.complete(killed, flags)
    found = _results(killed / "run")
    for name, expected in _results(whole / "run").items():
        assert found[name] == expected, name
    assert killing.left_over(killed / "run") == []
