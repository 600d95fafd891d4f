"""Which changes behind a name are noticed, in folders and in files of weights, and what is said of them."""

import json
import os

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfcap.errors import InputError
from tfcap.models.checkpoints import preset_folder
from tfcap.models.contents import check_same, contents_behind, weights_hash

LARGE = np.random.default_rng(0).normal(size=[1024, 256]).astype(np.float32)  # 1 MiB
TENSORS = {"large": LARGE, "norm": np.ones(24, np.float32), "scale": np.array(2.0, np.float32)}


def _safetensors(path, tensors):
    save_file(tensors, path)


def _hdf5(path, tensors):
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            file[f"layers/{name}"] = tensor


def _compressed(path, tensors):
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            file.create_dataset(name, data=tensor, **({"compression": "gzip"} if tensor.ndim else {}))


FORMS = {"model.safetensors": _safetensors, "model.weights.h5": _hdf5, "packed.h5": _compressed}
every_form = pytest.mark.parametrize("name", FORMS)


def _hash(folder, name, **changes):
    FORMS[name](folder / name, {**TENSORS, **changes})
    return weights_hash(folder / name)


@every_form
def test_the_same_weights_written_again_have_the_same_hash(name, tmp_path):
    (tmp_path / "other").mkdir()
    first = _hash(tmp_path, name)
    os.utime(tmp_path / name, (1, 1))
    assert weights_hash(tmp_path / name) == first == _hash(tmp_path / "other", name)


@every_form
@pytest.mark.parametrize(
    "changes",
    [
        {"large": LARGE * np.float32(1.001)},
        {"large": LARGE.astype(np.float16)},
        {"large": LARGE.reshape(256, 1024)},
        {"norm": np.array([1.0] * 23 + [1.01], np.float32)},
        {"scale": np.array(2.1, np.float32)},
        {"more": np.zeros(1, np.float32)},
    ],
    ids=["trained on", "another type", "another shape", "one of a few", "a scalar", "one more"],
)
def test_weights_that_changed_have_another(name, changes, tmp_path):
    assert _hash(tmp_path, name, **changes) != _hash(tmp_path, name)


def test_of_a_large_tensor_a_sample_is_read_from_its_first_byte_to_its_last(tmp_path):
    first, found = _hash(tmp_path, "model.safetensors"), []
    for place in (0, 5000, LARGE.size - 1):
        changed = LARGE.copy()
        changed.flat[place] += 1
        found.append(_hash(tmp_path, "model.safetensors", large=changed) != first)
    assert found == [True, False, True]


@pytest.mark.parametrize("name", ["model.safetensors", "model.weights.h5", "notes.bin"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64])
def test_a_damaged_file_is_an_error_of_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is damaged or is no") as caught:
        weights_hash(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with a tokenizer."""
    place = tmp_path / "checkpoint"
    place.mkdir()
    save_file(TENSORS, place / "model.safetensors")
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
        (place / name).write_text(json.dumps({"of": name}), encoding="utf-8")
    return place


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"])
def test_each_file_that_is_read_of_a_folder_counts_and_others_do_not(folder, name):
    first = contents_behind({"checkpoint": str(folder)})
    (folder / "README.md").write_text("new", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    assert contents_behind({"checkpoint": str(folder)}) == first
    if name == "model.safetensors":
        save_file({**TENSORS, "large": LARGE + 1}, folder / name)
    else:
        (folder / name).write_text("{}", encoding="utf-8")
    assert contents_behind({"checkpoint": str(folder)}) != first


def test_each_flag_that_names_files_has_a_digest(folder, tmp_path):
    weights = tmp_path / "encoder.weights.h5"
    _hdf5(weights, TENSORS)
    said = {"checkpoint": str(folder), "tokenizer": str(folder), "encoder_weights": str(weights)}
    found = contents_behind({**said, "model": "git"})
    assert set(found) == set(said) and found["checkpoint"] == found["tokenizer"] != found["encoder_weights"]
    for no_file in ("none", "imagenet", None):
        assert contents_behind({"checkpoint": "", "tokenizer": "", "encoder_weights": no_file}) == {}
    assert contents_behind({"checkpoint": "kaggle://keras/gemma3/keras/gemma3_4b/3"}, preset_folder) == {}
    with pytest.raises(InputError, match="There is no checkpoint.*--encoder_weights=.*gone"):
        contents_behind({"encoder_weights": str(tmp_path / "gone")})


def test_what_differs_is_named_and_what_was_not_known_is_not_compared():
    check_same({}, {"checkpoint": "a" * 64}, "before", "")
    check_same({"checkpoint": "a", "tokenizer": "b"}, {"checkpoint": "a"}, "before", "")
    with pytest.raises(InputError) as caught:
        check_same({"tokenizer": "a" * 64}, {"tokenizer": "b" * 64}, "when the run r began", "Do that.")
    said = "What --tokenizer names has other content than when the run r began."
    assert str(caught.value) == f"{said} Received: {'b' * 12}. Expected: {'a' * 12}. Do that."
