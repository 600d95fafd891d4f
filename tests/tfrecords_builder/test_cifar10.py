"""CIFAR-10 out of each of its forms: batches, the archive with them, a zip file and folders of classes."""

import hashlib
import http.server
import json
import shutil
import tarfile
import threading
import zipfile

import numpy as np
import pytest

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder import cifar10_batches
from tfrecords_builder.archives import Archive
from tfrecords_builder.cifar10 import CLASSES

_SPLITS = ("train", "validation", "test")
_RECORDS = 30  # of a batch: three of each class


def _settings(source, tmp_path, **changes):
    return DataSettings(dataset="cifar10", source=str(source), data_dir=str(tmp_path / "data"), **changes)


def _built(data):
    folder = tfrecords_builder.build(data, progress=False)
    return folder, {split: Records(folder, split) for split in _SPLITS}


def _fingerprints(records):
    return [one.fingerprint for one in records.values()]


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """A folder of six small batches; the pixels of a record are noise, and its labels go round."""
    monkeypatch.setattr(cifar10_batches, "RECORDS", _RECORDS)
    folder, rng = tmp_path / "source" / "cifar-10-batches-bin", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*cifar10_batches.BATCHES["train"], *cifar10_batches.BATCHES["test"]):
        records = rng.integers(0, 256, (_RECORDS, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(_RECORDS) % 10
        (folder / name).write_bytes(records.tobytes())
    return folder


@pytest.fixture
def archive(batches, tmp_path, monkeypatch):
    """The archive of these batches, which counts as the published one."""
    path = tmp_path / "web" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as packed:
        packed.add(batches, "cifar-10-batches-bin")
    known = Archive("http://nowhere", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar10_batches, "ARCHIVE", known)
    return path


@pytest.fixture
def folders(tmp_path):
    """Two pictures of each class in train, twelve in test."""
    for split, count in (("train", 2), ("test", 12)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "folders" / split / name
            folder.mkdir(parents=True)
            for place in range(count):
                (folder / f"{place:04d}.jpg").write_bytes(encoded(1000 * count + 10 * place + label, (32, 32)))
    return tmp_path / "folders"


def test_a_record_of_a_batch_is_its_picture_and_the_name_of_its_class(batches, tmp_path):
    folder, records = _built(_settings(batches, tmp_path))
    assert folder == tmp_path / "data" / "cifar10" / "original" / "1.0.0"
    second = np.frombuffer((batches / "data_batch_1.bin").read_bytes(), np.uint8).reshape(-1, 3073)[11]
    found = records["train"].picture(11)  # the second of class 1
    for channel in range(3):
        expected = second[1 + 1024 * channel : 1 + 1024 * (channel + 1)].reshape(32, 32)
        np.testing.assert_array_equal(found[..., channel], expected)
    digests = json.loads((folder / "tfcap.json").read_text())["batches_sha256"]
    assert digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in batches.iterdir()}
    assert records["train"].captions[11] == ["automobile"] and int(records["train"].truth("label")[11]) == 1


def test_every_split_has_as_many_of_each_class_and_a_tenth_of_test_is_validation(folders, tmp_path):
    _, records = _built(_settings(folders, tmp_path))
    for split, count in zip(_SPLITS, (2, 1, 11), strict=True):
        assert np.bincount(records[split].truth("label")).tolist() == [count] * 10
    assert records["train"].captions[:2] == [["airplane"], ["automobile"]]  # a part of it has all classes
    held_out = {one.filename for one in records["validation"].described(range(10))}
    assert len({name.rpartition("/")[2] for name in held_out}) > 1  # not the first of each class
    assert held_out.isdisjoint(one.filename for one in records["test"].described(range(110)))


def test_the_archive_its_folder_and_the_batches_are_one_data_set(batches, archive, tmp_path):
    found = []
    for place, source in enumerate((batches, batches.parent, archive, archive.parent)):
        _, records = _built(_settings(source, tmp_path / str(place)))
        found.append(_fingerprints(records))
    assert found[0] == found[1] == found[2] == found[3]


def test_a_zip_file_is_what_its_folders_are(folders, tmp_path):
    path = _packed(folders, tmp_path / "packed.zip")
    here, there = _built(_settings(folders, tmp_path / "a")), _built(_settings(path, tmp_path / "b"))
    assert _fingerprints(here[1]) == _fingerprints(there[1])
    assert here[0].parent.name == there[0].parent.name == "class-folders"


def test_a_validation_is_held_out_by_the_place_in_the_class_alone(batches, tmp_path):
    _, records = _built(_settings(batches, tmp_path / "a"))
    anew = tmp_path / "anew"
    for split, packed in (("train", ("train",)), ("test", ("validation", "test"))):
        for part in packed:
            for position, one in enumerate(records[part].described(range(len(records[part])))):
                path = anew / one.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_png(records[part].picture(position)))
                assert one.filename.startswith(split)
    _, again = _built(_settings(anew, tmp_path / "b"))
    for split in _SPLITS:
        np.testing.assert_array_equal(again[split].ids, records[split].ids)


def _png(pixels):
    return cifar10_batches.as_png(pixels)


def test_without_a_source_the_archive_is_downloaded_and_checked(archive, tmp_path, monkeypatch):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(archive.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
    try:
        monkeypatch.setattr(cifar10_batches, "ARCHIVE", Archive(url, cifar10_batches.ARCHIVE.sha256))
        folder, records = _built(_settings("", tmp_path))
        manifest = json.loads((folder / "tfcap.json").read_text())
        (arrived,) = manifest["archives"]
        assert manifest["source"] == url and f"<{url}>" in (folder / "README.md").read_text(encoding="utf-8")
        assert arrived["sha256"] == cifar10_batches.ARCHIVE.sha256 and len(records["train"]) == 5 * _RECORDS
        monkeypatch.setattr(cifar10_batches, "ARCHIVE", Archive(url, "0" * 64))
        with pytest.raises(InputError, match="another SHA-256"):
            _built(_settings("", tmp_path / "other"))
    finally:
        server.shutdown()
        server.server_close()


def test_an_archive_that_is_not_the_published_one_is_refused(archive, tmp_path):
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"SHA-256 is another\. Received: [0-9a-f]{64}\. Expected:"):
        _built(_settings(archive, tmp_path))
    assert archive.exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"cut short.*92,189 bytes.*92,190"),
        (lambda path: path.write_bytes(b"\x00" + path.read_bytes()[1:3073] + path.read_bytes()[:-3073]), "as many"),
        (lambda path: path.write_bytes(b"\x0b" + path.read_bytes()[1:]), "as many pictures"),
        (lambda path: path.unlink(), r"cannot be read \(No such file"),
    ],
    ids=["short", "unbalanced", "label", "missing"],
)
def test_a_damaged_batch_is_one_line_and_leaves_nothing(batches, tmp_path, spoil, words):
    spoil(batches / "data_batch_2.bin")
    with pytest.raises(InputError, match=words) as caught:
        _built(_settings(batches, tmp_path))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))


def test_sources_that_are_none_are_refused(folders, tmp_path):
    with pytest.raises(InputError, match="not there"):
        _built(_settings(tmp_path / "nowhere", tmp_path))
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(b"no zip file")
    with pytest.raises(InputError, match="no zip file, or a damaged one"):
        _built(_settings(wrong, tmp_path))
    assert wrong.exists()
    python = tmp_path / "cifar-10-batches-py"
    python.mkdir()
    (python / "data_batch_1").write_bytes(b"a pickle")
    for pickled in (python, python.parent):
        with pytest.raises(InputError, match=r"pickles.*data_batch_1\.bin"):
            _built(_settings(pickled, tmp_path))
    (python / "data_batch_1").unlink()
    python.rename(tmp_path / "empty")
    with pytest.raises(InputError, match=r"no batches of CIFAR-10.*data_batch_1\.bin"):
        _built(_settings(tmp_path / "empty", tmp_path))
    other = tmp_path / "cifar10.txt"
    other.write_text("words")
    with pytest.raises(InputError, match="not the published archive, or not all of it"):
        _built(_settings(other, tmp_path))


def _packed(folders, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(file for file in folders.rglob("*") if file.is_file()):
            packed.write(file, file.relative_to(folders))
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: shutil.rmtree(root / "train" / "frog"), r"too few pictures.*Received: 0 in train/frog"),
        (lambda root: shutil.rmtree(root / "test"), r"too few pictures.*Received: 0 in test/airplane"),
        (
            lambda root: (root / "test" / "cat").rename(root / "test" / "cats"),
            r"no class.*Received: cats\. Exp",
        ),
        (
            lambda root: [path.unlink() for path in list((root / "test" / "dog").iterdir())[1:]],
            r"2 are needed in test\. Received: 1 in test/dog",
        ),
    ],
    ids=["class", "part", "unknown", "one"],
)
def test_class_folders_that_are_not_cifar_10_s_are_one_line(folders, tmp_path, spoil, words, zipped):
    spoil(folders)
    source = _packed(folders, tmp_path / "packed.zip") if zipped else folders
    with pytest.raises(InputError, match=words) as caught:
        _built(_settings(source, tmp_path))
    assert "\n" not in str(caught.value)


def test_what_a_copy_holds_beside_pictures_is_left_out_and_named(folders, tmp_path):
    (folders / "train" / "cat" / "notes.txt").write_text("words")
    folder, _ = _built(_settings(_packed(folders, tmp_path / "packed.zip"), tmp_path))
    manifest = json.loads((folder / "tfcap.json").read_text())
    assert manifest["counts"] == {"files_that_are_no_pictures": 1}
    assert "train/cat/notes.txt" in (folder / "quarantine.jsonl").read_text()


def test_a_picture_damaged_inside_a_zip_file_is_a_bad_picture(folders, tmp_path):
    for number in range(300):  # else one is more than may be bad
        (folders / "train" / "cat" / f"{number:04d}.jpg").write_bytes(encoded(number, (32, 32)))
    path = _packed(folders, tmp_path / "packed.zip")
    with zipfile.ZipFile(path) as packed:
        found = packed.getinfo("train/cat/0100.jpg")
    data = bytearray(path.read_bytes())
    start = found.header_offset + 30 + len(found.filename)
    data[start : start + found.compress_size] = b"\xff" * found.compress_size
    path.write_bytes(data)
    folder, records = _built(_settings(path, tmp_path))
    assert json.loads((folder / "tfcap.json").read_text())["counts"] == {"bad_images": 1}
    assert len(records["train"]) == 9 * 2 + 299


def test_a_built_set_says_whether_its_pixels_are_the_published_ones(batches, folders, tmp_path):
    cards, notes = {}, {}
    packed = _packed(folders, tmp_path / "packed.zip")
    for source in (batches, packed):
        folder, _ = _built(_settings(source, tmp_path))
        notes[folder.parent.name] = json.loads((folder / "tfcap.json").read_text())
        cards[folder.parent.name] = (folder / "README.md").read_text(encoding="utf-8")
    assert notes["original"]["pictures"] == "the published pixels, as PNG"
    assert notes["class-folders"]["pictures"] == "a copy's files, as they are"
    assert notes["original"]["classes"] == notes["class-folders"]["classes"] == list(CLASSES)
    assert "# cifar10, class-folders," in cards["class-folders"] and "the file `packed.zip`" in cards["class-folders"]
    assert "the folder `cifar-10-batches-bin`" in cards["original"]


def test_batches_win_over_class_folders_beside_them(batches, folders, tmp_path):
    for name in ("train", "test"):
        shutil.copytree(folders / name, batches / name)
    assert _built(_settings(batches, tmp_path))[0].parent.name == "original"


@pytest.mark.slow
def test_the_real_pictures_of_jpeg_quality_75(shared_data, tmp_path):
    path = shared_data / "cifar10" / "cifar10_jpeg_q75.zip"
    if not path.is_file():
        pytest.skip("no CIFAR-10")
    _, records = _built(_settings(path, tmp_path))
    for split, count in zip(_SPLITS, (5000, 100, 900), strict=True):
        assert np.bincount(records[split].truth("label")).tolist() == [count] * 10
