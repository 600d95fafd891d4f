"""Checkpoints of Hugging Face: what opens, from where, and what each kind of damage is called."""

import http.server
import json
import threading

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfcap.errors import InputError
from tfcap.models.checkpoints import downloaded, open_checkpoint

TENSORS = {f"layer.{index}": np.full([2, 3], index, np.float32) for index in range(4)}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint in one file."""
    (tmp_path / "config.json").write_text('{"model_type": "toy"}', encoding="utf-8")
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path


def _shard(folder):
    """Cuts the checkpoint into two shards with their index."""
    (folder / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + index // 2}-of-00002.safetensors" for index, name in enumerate(TENSORS)}
    for file in set(shards.values()):
        save_file({name: TENSORS[name] for name in TENSORS if shards[name] == file}, folder / file)
    _index(folder, shards)
    return shards


def _index(folder, shards):
    text = json.dumps({"metadata": {}, "weight_map": shards})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _holds_the_tensors(found):
    assert found.config == {"model_type": "toy"} and found.shapes == dict.fromkeys(TENSORS, (2, 3))
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found.tensor(name), tensor)


def test_one_file(folder):
    _holds_the_tensors(open_checkpoint(str(folder), "weights"))


def test_shards(folder):
    _shard(folder)
    _holds_the_tensors(open_checkpoint(str(folder), "weights"))


def test_one_file_of_another_name_beside_a_pickle_that_is_not_read(folder):
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    _holds_the_tensors(open_checkpoint(str(folder), "weights"))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_floats_become_float32(folder, dtype):
    save_file({"half": np.array([0.5, 3.0], dtype)}, folder / "model.safetensors")
    found = open_checkpoint(str(folder), "weights").tensor("half")
    assert found.dtype == np.float32 and found.tolist() == [0.5, 3.0]


def test_the_hash_is_of_configuration_and_weights(folder):
    def found():
        return open_checkpoint(str(folder), "weights").hash()

    first = found()
    assert found() == first
    (folder / "config.json").write_text('{"model_type": "toy", "size": 1}', encoding="utf-8")
    second = found()
    save_file({**TENSORS, "layer.0": np.ones([2, 3], np.float32)}, folder / "model.safetensors")
    assert len({first, second, found()}) == 3


def _cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def _pickle_alone(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _two_files(folder):
    save_file(TENSORS, folder / "a.safetensors")
    (folder / "model.safetensors").rename(folder / "b.safetensors")


def _shard_gone(folder):
    (folder / next(iter(_shard(folder).values()))).unlink()


def _shard_of_others(folder):
    save_file({"stranger": TENSORS["layer.0"]}, folder / next(iter(_shard(folder).values())))


def _shards_that_overlap(folder):
    shards = _shard(folder)
    save_file({name: TENSORS[name] + 1 for name in list(TENSORS)[1:]}, folder / shards["layer.2"])


def _index_of_the_other_shard(folder):
    shards = _shard(folder)
    _index(folder, dict(zip(shards, reversed(shards.values()), strict=True)))


def _index_of_elsewhere(folder):
    _index(folder, dict.fromkeys(_shard(folder), "../model.safetensors"))


DAMAGE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json.*model.safetensors"),
    "config cut": (lambda folder: _cut(folder / "config.json", 9), "config.json is not valid JSON"),
    "config a list": (lambda folder: (folder / "config.json").write_text("[]"), "is of something else.*list"),
    "a pickle alone": (_pickle_alone, "no weights as safetensors.*pytorch_model.bin.*Expected: model.safetensors"),
    "two files": (_two_files, "several files of weights and no index.*a.safetensors, b.safetensors"),
    "cut in its header": (lambda folder: _cut(folder / "model.safetensors", 30), "damaged or is no safetensors file"),
    "cut at its end": (lambda folder: _cut(folder / "model.safetensors", -5), "damaged or is no safetensors file"),
    "empty": (lambda folder: _cut(folder / "model.safetensors", 0), "damaged or is no safetensors file"),
    "a shard gone": (_shard_gone, "lacks shards.*no model-00001-of-00002.safetensors"),
    "a shard of others": (
        _shard_of_others,
        "do not hold what.*without layer.0 in .*00001.*, layer.1 in .*besides stranger in .*00001",
    ),
    "shards that overlap": (_shards_that_overlap, "without none, and besides layer.1 in .*00002.*each once"),
    "an index of the other shard": (
        _index_of_the_other_shard,
        "without layer.0 in .*00002.*besides layer.0 in .*00001",
    ),
    "an index of elsewhere": (_index_of_elsewhere, "is no index of shards"),
    "an empty index": (lambda folder: (_shard(folder), _index(folder, {})), "is no index of shards"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_an_error_of_one_line(folder, name):
    damage, words = DAMAGE[name]
    damage(folder)
    with pytest.raises(InputError, match=words) as raised:
        open_checkpoint(str(folder), "weights")
    assert "\n" not in str(raised.value)


def test_numbers_that_are_not_finite_and_whole_numbers_are_refused(folder):
    save_file({"nan": np.float32([1, np.nan]), "ids": np.arange(3)}, folder / "model.safetensors")
    found = open_checkpoint(str(folder), "weights")
    for name, words in {"nan": "not finite", "ids": "not of floats. Received: I64"}.items():
        with pytest.raises(InputError, match=words):
            found.tensor(name)


def test_how_images_are_prepared_is_read_as_transformers_5_and_older_ones_write_it(folder):
    def found(**files):
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return open_checkpoint(str(folder), "weights").preprocessing()

    assert found() == {}
    assert found(processor_config={"processor_class": "CLIPProcessor"}) == {}
    assert found(preprocessor_config={"image_mean": 1}) == {"image_mean": 1}
    assert found(processor_config={"image_processor": {"image_mean": 2}}) == {"image_mean": 2}
    with pytest.raises(InputError, match="cannot be prepared as .* says. Received: image_processor='CLIP'"):
        found(processor_config={"image_processor": "CLIP"})


@pytest.mark.parametrize("name", ["do_rescale", "do_normalize"])
def test_images_that_are_not_rescaled_or_normalised_are_refused(folder, name):
    (folder / "preprocessor_config.json").write_text(json.dumps({name: False}), encoding="utf-8")
    with pytest.raises(InputError, match=f"Received: {name}=false. Expected: pixels that are rescaled and normalised"):
        open_checkpoint(str(folder), "weights").preprocessing()


@pytest.mark.parametrize("where", ["", "/absent", "hf://", "hf://a/b/c", "hf://a b"])
def test_a_place_that_is_none_is_an_error(where):
    with pytest.raises(InputError, match=rf"--weights={where}.*Expected: .*hf://user/name"):
        open_checkpoint(where, "weights")


# A hub on this machine, which answers as much of the protocol as a download asks for.


class Hub(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}
    asked: list[str] = []
    COMMIT = "c" * 40

    def _answer(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        body, headers, path = None, {}, self.path.split("?")[0]
        if path in ("/api/models/user/toy/revision/main", "/api/models/user/toy/revision/v2"):
            siblings = [{"rfilename": name} for name in self.files]
            about = {"id": "user/toy", "sha": self.COMMIT, "siblings": siblings, "private": False, "tags": []}
            body = json.dumps(about).encode()
        elif path == f"/api/models/user/toy/tree/{self.COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(b), "oid": name} for name, b in self.files.items()]
            body = json.dumps(tree).encode()
        elif path.startswith(f"/user/toy/resolve/{self.COMMIT}/"):
            body = self.files.get(path.rsplit("/", 1)[1])
            headers = {"ETag": f'"{abs(hash(body))}"', "X-Repo-Commit": self.COMMIT}
        self.send_response(404 if body is None else 200)
        for name, value in {"Content-Length": str(len(body or b"")), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and body:
            self.wfile.write(body)

    do_GET = do_HEAD = _answer  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """Serves the checkpoint, a pickle beside it, as user/toy; the cache is a fresh one."""
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"pytorch_model.bin": b"PK"}
    Hub.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("where", ["hf://user/toy", "hf://user/toy@v2"])
def test_a_name_on_the_hub_is_downloaded_without_its_pickle(hub, where):
    _holds_the_tensors(open_checkpoint(where, "weights"))
    assert any(where.partition("@")[2] in line for line in hub.asked)
    assert not [line for line in hub.asked if "pytorch_model.bin" in line]


def test_what_is_downloaded_can_be_said(hub):
    folder = downloaded("hf://user/toy", "weights", ("*.json", "*.bin"), ("*.bin",))
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_name_that_the_hub_does_not_know_is_an_error_of_one_line(hub):
    with pytest.raises(InputError, match="--weights=hf://user/other cannot be downloaded.*or give a folder") as raised:
        open_checkpoint("hf://user/other", "weights")
    assert "\n" not in str(raised.value)
