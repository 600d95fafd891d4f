"""clip_score: it is the cosine, it costs one look at each image, and neither kills nor replicas change it."""

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.models.toy_clip import SIDE, write_clip
from tfcap import experiment
from tfcap.data import resumable
from tfcap.data.images import resize
from tfcap.data.pipeline import Inputs
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.models.dual_encoder import pretrained
from tfcap.preparation import Preparation
from tfcap.scores import scores_of
from tfcap.scoring import clip_score
from tfcap.settings import Settings

IMAGES = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "toy")


@pytest.fixture
def own_data(scenes_dir, tmp_path):
    """A --data_dir whose cache of features is empty."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scenes").symlink_to(scenes_dir / "scenes")
    return tmp_path / "data"


@pytest.fixture
def prep(toy_flags, own_data, folder, tmp_path):
    """Makes the preparation of a run of its own."""

    def make(run="run", **said):
        said = {"selector": "easiest", "selection_score": "clip_score", "dual_encoder": str(folder), **said}
        said = {**toy_flags, **said, "data_dir": str(own_data), "run_dir": str(tmp_path / run)}
        return Preparation(Settings().replace(**said).resolve())

    return make


@pytest.fixture(scope="module")
def expected(folder, scenes):
    """Cosines of each image's captions [48, 5], made without a batch or a cache."""
    encoders, records = pretrained(str(folder)), Records(scenes, "train")
    rows = []
    for position, captions in enumerate(records.captions):
        image = encoders.model({"images": np.asarray(resize(records.picture(position), SIDE))[None]})
        texts = [f"A photo depicts {caption}" for caption in captions]
        rows.append(np.asarray(encoders.model({"tokens": encoders.tokenizer.encode(texts)})) @ np.asarray(image)[0])
    return np.array(rows)


def test_an_image_s_score_is_the_mean_cosine_of_its_captions(prep, expected, tmp_path, folder):
    found = scores_of(prep(), "clip_score")
    assert found.dtype == np.float32 and expected.shape == (IMAGES, 5)
    np.testing.assert_allclose(found, expected.mean(axis=1), atol=1e-5)
    assert np.ptp(found) > 1e-3 and np.ptp(expected, axis=1).min() > 1e-4
    each = np.load(tmp_path / "run" / "scores" / "clip_score-captions.npy")
    np.testing.assert_allclose(each.reshape(IMAGES, 5), expected, atol=1e-5)
    about = read_json(tmp_path / "run" / "scores" / "clip_score.json")
    assert about["dual_encoder"] == str(folder) and about["weights"] == pretrained(str(folder)).identity
    assert about["train_seconds"] == 0 < about["pass_seconds"] and "cosine" in about["unit"]


def test_a_pair_s_score_is_its_cosine(prep, expected):
    found = scores_of(prep(level="pair", score_batch_size=7), "clip_score")
    np.testing.assert_allclose(found.reshape(IMAGES, 5), expected, atol=1e-5)


def test_each_image_is_read_once_and_for_every_later_run(prep, monkeypatch):
    read = []
    stream = Inputs.stream

    def noted(self, blocks, *more):
        read.extend(int(position) for block in blocks for position in block)
        return stream(self, blocks, *more)

    monkeypatch.setattr(Inputs, "stream", noted)
    first = scores_of(prep(score_batch_size=8), "clip_score")
    assert sorted(read) == list(range(IMAGES))
    again = scores_of(prep("again", score_batch_size=8), "clip_score")
    assert len(read) == IMAGES
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("selector", ["easiest", "hardest", "median", "stratified"])
def test_selectors_take_high_for_hard_so_easiest_fits_worst(prep, expected, selector):
    mask = experiment.select(prep(selector=selector, fraction=0.25, noise_cut=0.0))
    ranks = np.sort(np.argsort(np.argsort(expected.mean(axis=1)))[mask.positions])
    assert len(ranks) == 12 and mask.about["score_file"] == "scores/clip_score.npy"
    if selector == "stratified":
        assert ranks[0] < 12 and ranks[-1] >= 36
    else:
        begins = {"easiest": [0], "hardest": [36], "median": [17, 18, 19]}[selector]
        assert ranks[0] in begins and ranks.tolist() == list(range(ranks[0], ranks[0] + 12))


def test_the_whole_command(toy_flags, own_data, folder, tmp_path, monkeypatch, capsys):
    said = {**toy_flags, "selector": "easiest", "selection_score": "clip_score", "dual_encoder": folder}
    said |= {"data_dir": own_data, "run_dir": tmp_path / "run", "fraction": 0.5, "export": False}
    switches = [f"--{'' if value else 'no'}{name}" for name, value in said.items() if isinstance(value, bool)]
    values = [f"--{name}={value}" for name, value in said.items() if not isinstance(value, bool)]
    monkeypatch.setattr(sys, "argv", ["main", *switches, *values])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(__file__).parents[2] / "tfcap" / "main.py"), run_name="__main__")
    assert ended.value.code == 0 and "images kept 24 of 48" in " ".join(capsys.readouterr().out.split())
    metrics = read_json(tmp_path / "run" / "metrics.json")
    passing = read_json(tmp_path / "run" / "scores" / "clip_score.json")["pass_seconds"]
    selecting = read_json(tmp_path / "run" / "masks" / "easiest-0.5.json")["seconds"]
    assert metrics["scoring_seconds"] == pytest.approx(passing + selecting)
    assert not (tmp_path / "run" / "proxy").exists()  # nothing was trained to score


_ON_TWO_REPLICAS = """
import json, sys
import tfcap.quiet
from tfcap.preparation import Preparation
from tfcap.scores import scores_of
from tfcap.settings import Settings
prep = Preparation(Settings().replace(**json.loads(sys.argv[1])).resolve())
print(json.dumps([prep.replicas.count, scores_of(prep, "clip_score").tolist()]))
"""


@pytest.mark.timeout(600)  # a process of its own, which starts TensorFlow again
def test_two_replicas_and_xla_change_nothing(toy_flags, own_data, folder, tmp_path, expected):
    said = {"selector": "easiest", "selection_score": "clip_score", "dual_encoder": str(folder), "score_batch_size": 7}
    said |= {"data_dir": str(own_data), "run_dir": str(tmp_path / "run"), "virtual_devices": 2, "xla": True}
    command = [sys.executable, "-c", _ON_TWO_REPLICAS, json.dumps({**toy_flags, **said})]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr[-3000:]
    replicas, found = json.loads(done.stdout)
    assert replicas == 2
    np.testing.assert_allclose(found, expected.mean(axis=1), atol=1e-5)


class Killed(Exception):
    pass


@pytest.mark.parametrize("dies_at", [2, 9, 20])
def test_a_killed_pass_goes_on_where_it_was(prep, expected, monkeypatch, dies_at):
    """Six batches of images, then thirty of captions."""
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    calls, encoding = [], clip_score._encoding

    def counted(*arguments):
        encode = encoding(*arguments)

        def one(batch):
            if len(calls) == dies_at:
                raise Killed
            calls.append(next(iter(batch)))
            return encode(batch)

        return one

    monkeypatch.setattr(clip_score, "_encoding", counted)
    with pytest.raises(Killed):
        scores_of(prep(score_batch_size=8), "clip_score")
    dies_at = -1
    found = scores_of(prep(score_batch_size=8), "clip_score")
    assert (calls.count("images"), calls.count("tokens")) == (6, 30)
    np.testing.assert_allclose(found, expected.mean(axis=1), atol=1e-5)


def test_without_a_dual_encoder_nothing_begins(prep, tmp_path):
    with pytest.raises(InputError, match="clip_score needs a pretrained CLIP.*--dual_encoder=FOLDER"):
        prep(dual_encoder="")
    assert not (tmp_path / "run").exists()


def test_scores_that_are_there_need_the_dual_encoder_no_more(prep, tmp_path):
    own = write_clip(tmp_path / "own")
    found = scores_of(prep(dual_encoder=str(own)), "clip_score")
    shutil.rmtree(own)
    np.testing.assert_array_equal(scores_of(prep(dual_encoder=str(own)), "clip_score"), found)
    with pytest.raises(InputError, match="There is no checkpoint"):
        prep(dual_encoder=str(own), resume=False)
    assert (tmp_path / "run" / "scores" / "clip_score.json").exists()  # nothing was cleared


def test_scores_by_another_dual_encoder_are_refused(prep, folder, tmp_path):
    scores_of(prep(), "clip_score")
    other = write_clip(tmp_path / "other")
    with pytest.raises(InputError, match="--dual_encoder was .* and is now .*other"):
        prep(dual_encoder=str(other))
