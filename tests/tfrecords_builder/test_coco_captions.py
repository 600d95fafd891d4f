import hashlib
import http.server
import json
import shutil
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder import coco_captions
from tfrecords_builder.archives import Archive


def _write_part(root: Path, part: str, ids: list[int], without_caption: int) -> None:
    (root / part).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in [*ids, without_caption]]
    for image in images:
        (root / part / image["file_name"]).write_bytes(encoded(image["id"]))
    annotations = [{"id": 10 * i + k, "image_id": i, "caption": f"{i} {k}"} for k in (1, 0) for i in ids]
    (root / "annotations" / f"captions_{part}.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )


@pytest.fixture
def source(tmp_path):
    """A folder in COCO's layout: 3 train and 10 val images with two captions, one without in each part."""
    root = tmp_path / "coco"
    _write_part(root, "train2017", [30, 10, 20], 40)
    _write_part(root, "val2017", [105, 103, 101, 102, 104, 106, 110, 109, 108, 107], 111)
    return root


def _settings(tmp_path, source="", **changes):
    return DataSettings(dataset="coco_captions", source=str(source), data_dir=str(tmp_path / "data"), **changes)


def _build(data):
    folder = tfrecords_builder.build(data, progress=False)
    with np.load(folder / "tfcap_index.npz") as index:
        ids = {name.removesuffix("/ids"): index[name].tolist() for name in index if name.endswith("/ids")}
    return ids, json.loads((folder / "tfcap.json").read_text())


def test_official_halves_val_in_the_order_of_ids(source, tmp_path, capfd):
    ids, manifest = _build(_settings(tmp_path, source))
    assert ids == {"train": [10, 20, 30], "validation": [101, 102, 103, 104, 105], "test": [106, 107, 108, 109, 110]}
    assert manifest["counts"] == {"images_without_caption": 2}
    assert manifest["options"]["coco_split"] == "official" and manifest["source"] == str(source)
    assert capfd.readouterr() == ("", "")  # pycocotools prints


def test_val2017_is_split_at_random_and_needs_no_train(source, tmp_path):
    shutil.rmtree(source / "train2017")
    ids, _ = _build(_settings(tmp_path, source, coco_split="val2017"))
    assert [len(ids[split]) for split in ("train", "validation", "test")] == [8, 1, 1]
    assert sorted(sum(ids.values(), [])) == list(range(101, 111)) and ids["train"] != sorted(ids["train"])


def _karpathy(tmp_path, **changes):
    def image(cocoid, split):
        sentences = [{"raw": f"Raw {cocoid}.", "sentid": cocoid, "tokens": ["raw"]}]
        names = {"filename": f"COCO_val2014_{cocoid:012d}.jpg", "filepath": "val2014"}
        return {**names, "cocoid": cocoid, "split": split, "sentences": sentences, **changes}

    path = tmp_path / "dataset_coco.json"
    images = [image(30, "train"), image(101, "restval"), image(10, "val"), image(102, "test"), image(103, "test")]
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def test_karpathy_trains_on_restval_and_finds_files_under_both_names(source, tmp_path):
    (source / "val2014").mkdir()
    (source / "val2017" / f"{103:012d}.jpg").rename(source / "val2014" / f"COCO_val2014_{103:012d}.jpg")
    path = _karpathy(tmp_path)
    ids, manifest = _build(_settings(tmp_path, source, coco_split="karpathy", karpathy_json=str(path)))
    assert ids == {"train": [30, 101], "validation": [10], "test": [102, 103]}
    assert manifest["karpathy_json"] == str(path)
    other = _settings(tmp_path, source, coco_split="karpathy", karpathy_json=str(path.rename(tmp_path / "other.json")))
    with pytest.raises(InputError, match="another --karpathy_json"):
        tfrecords_builder.locate(other)


def test_a_broken_or_missing_karpathy_file_is_explained(source, tmp_path):
    path = _karpathy(tmp_path, split="dev")
    for name, message in [
        (str(path), "not Karpathy's dataset_coco.json .KeyError: 'dev'"),
        ("nowhere.json", "nowhere.json"),
    ]:
        with pytest.raises(InputError, match=message):
            _build(_settings(tmp_path, source, coco_split="karpathy", karpathy_json=name))


def test_a_source_that_is_not_coco_is_explained(source, tmp_path):
    (source / "annotations" / "captions_val2017.json").write_text("[]")
    with pytest.raises(InputError, match="not a COCO captions file"):
        _build(_settings(tmp_path, source))
    shutil.rmtree(source / "annotations")
    with pytest.raises(InputError, match="no annotations/captions_val2017.json. Expected: a folder with annotations"):
        _build(_settings(tmp_path, source))


def test_the_slice_of_real_coco(shared_data, tmp_path):
    if not (shared_data / "coco_mini").is_dir():
        pytest.skip("no slice of COCO")
    ids, manifest = _build(_settings(tmp_path, shared_data / "coco_mini"))
    assert {split: len(members) for split, members in ids.items()} == {"train": 80, "validation": 40, "test": 39}
    assert manifest["counts"] == {"images_without_caption": 80}


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(source, tmp_path, monkeypatch):
    """A server of COCO's three archives, made of `source`; yields the folder it serves."""
    web = tmp_path / "web"
    web.mkdir()
    for name in coco_captions.ARCHIVES:
        with zipfile.ZipFile(web / f"{name}.zip", "w") as archive:
            for path in sorted((source / name).iterdir()):
                archive.write(path, f"{name}/{path.name}")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: _Handler(*a, directory=str(web)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setattr(coco_captions, "COCO_URL", address)
    monkeypatch.setattr(
        coco_captions, "ARCHIVES", {name: Archive(f"{address}/{name}.zip") for name in coco_captions.ARCHIVES}
    )
    yield web
    httpd.shutdown()
    httpd.server_close()


def test_without_a_source_the_archives_are_downloaded_once(source, server, tmp_path):
    ids, manifest = _build(_settings(tmp_path))
    local, from_folder = _build(_settings(tmp_path / "local", source))
    assert ids == local
    assert [split["fingerprint"] for split in manifest["splits"].values()] == [
        split["fingerprint"] for split in from_folder["splits"].values()
    ]
    assert manifest["source"] == coco_captions.COCO_URL
    arrived = {archive["url"].rpartition("/")[2]: archive["sha256"] for archive in manifest["archives"]}
    assert arrived == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in server.iterdir()}
    for path in server.iterdir():
        path.unlink()
    resized, _ = _build(_settings(tmp_path, resize_shorter_side=8))  # from the downloads of the first build
    assert resized == ids


def _left(tmp_path):
    return [p.name for p in (tmp_path / "data").rglob("*") if p.is_file() and p.name != ".coco_captions.lock"]


def test_another_checksum_than_expected_is_an_error_and_the_download_is_deleted(server, tmp_path, monkeypatch):
    wrong = {name: Archive(archive.url, "0" * 64) for name, archive in coco_captions.ARCHIVES.items()}
    with monkeypatch.context() as patch:
        patch.setattr(coco_captions, "ARCHIVES", wrong)
        with pytest.raises(InputError, match=r"annotations.zip has another SHA-256 .*Expected: 0000"):
            _build(_settings(tmp_path))
    assert not any("annotations" in name for name in _left(tmp_path))
    right = hashlib.sha256((server / "annotations.zip").read_bytes()).hexdigest()
    known = Archive(coco_captions.ARCHIVES["annotations"].url, right)
    monkeypatch.setitem(coco_captions.ARCHIVES, "annotations", known)
    assert _build(_settings(tmp_path))[1]["archives"][0]["expected"] == right


def test_a_missing_archive_and_one_that_is_no_zip_are_errors(server, tmp_path):
    (server / "val2017.zip").write_text("<html>moved</html>")
    with pytest.raises(InputError, match="not a zip archive"):
        _build(_settings(tmp_path))
    assert not any("val2017" in name for name in _left(tmp_path))
    (server / "val2017.zip").unlink()
    with pytest.raises(InputError, match=r"val2017.zip cannot be downloaded. Received: HTTP 404. Give --source"):
        _build(_settings(tmp_path))
    assert not list((tmp_path / "data").rglob("*.tmp.*"))


def test_no_network_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(
            coco_captions, "ARCHIVES", {name: Archive(f"{address}/x.zip") for name in coco_captions.ARCHIVES}
        )
        with pytest.raises(InputError, match=r"cannot be reached .*Connection refused") as caught:
            _build(_settings(tmp_path))
    assert "\n" not in str(caught.value) and _left(tmp_path) == []


def test_a_download_that_breaks_off_leaves_nothing(server, tmp_path, monkeypatch):
    def half(handler, source, output):
        output.write(source.read(100))

    monkeypatch.setattr(_Handler, "copyfile", half)
    with pytest.raises(InputError) as caught:
        _build(_settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.tmp.*"))
