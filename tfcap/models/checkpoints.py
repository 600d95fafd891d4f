"""Checkpoints in the form of Hugging Face: config.json and safetensors, in a folder or on a hub. Never a pickle.

Source of the format: https://github.com/huggingface/safetensors and, for an index of shards, `save_pretrained` of
https://github.com/huggingface/transformers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from tfcap.errors import InputError
from tfcap.files import file_hash, hash_of, read_json

HUB, KAGGLE = "hf://", "kaggle://"
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
# No other files of a repository are downloaded.
_OF_A_CHECKPOINT = ("*.json", "*.safetensors", "*.txt")
_NOT_OF_A_CHECKPOINT = ("[!1]*/*", "1_[!P]*/*")  # folders, but 1_Pooling: how a text encoder makes one vector of many
_OF_A_PRESET = ("*.json", "*.safetensors", "*.model", "*.weights.h5", "assets/*")
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")


class Checkpoint:
    """The configuration of a model and its tensors, each read when it is asked for.

    Attributes:
      origin: as the user named it.
      folder: where its files lie.
      config: what config.json holds.
      shapes: of every tensor, by name.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        """Opens a folder; raises InputError where a file is missing, damaged or of another format."""
        self.folder, self.origin = folder, origin
        self.config: dict[str, Any] = self._json("config.json")
        self._files = _weight_files(folder)
        files = {path.name: opened(path) for path in self._files}
        self._check_index({(name, place) for place, file in files.items() for name in file.keys()})  # noqa: SIM118
        self._where = {name: file for file in files.values() for name in file.keys()}  # noqa: SIM118
        self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name, file in self._where.items()}

    def _json(self, name: str) -> dict[str, Any]:
        if not (self.folder / name).is_file():
            raise InputError(
                f"The checkpoint {self.origin} has no {name}",
                received=f"a folder with {_listing(self.folder)}",
                expected="config.json beside weights as *.safetensors",
            )
        return _read(self.folder / name)

    def _check_index(self, held: set[tuple[str, str]]) -> None:
        """Raises InputError unless the tensors, each with its file, are those that the index of shards names."""
        if not (self.folder / _INDEX).is_file() or (self.folder / _WHOLE).is_file():
            return
        named = set(_weight_map(self.folder).items())
        if named != held:
            missing, besides = ([f"{name} in {file}" for name, file in pairs] for pairs in (named - held, held - named))
            raise InputError(
                f"The shards of {self.origin} do not hold what {_INDEX} names",
                received=f"without {some(missing)}, and besides {some(besides)}",
                expected="the tensors of the index, each once",
            )

    def tensor(self, name: str) -> np.ndarray:
        """Returns a tensor as float32; raises InputError if it is of whole numbers, or if a number is not finite."""
        kind = self._where[name].get_slice(name).get_dtype()
        if kind not in _FLOATS:
            raise InputError(
                f"The tensor {name} of {self.origin} is not of floats", received=kind, expected=" or ".join(_FLOATS)
            )
        found = np.asarray(self._where[name].get_tensor(name)).astype(np.float32)
        if not np.isfinite(found).all():
            raise InputError(f"The tensor {name} of {self.origin} has numbers that are not finite")
        return found

    def optional_json(self, name: str) -> dict[str, Any]:
        """Returns what a file such as generation_config.json holds; nothing where the checkpoint has none."""
        return _read(self.folder / name) if (self.folder / name).is_file() else {}

    def preprocessing(self) -> dict[str, Any]:
        """Returns how images are prepared, in the words of preprocessor_config.json; nothing where that is not said.

        As in transformers 5, a part of processor_config.json goes before that file.

        Raises:
          InputError: pixels are not rescaled or not normalised, which is not covered.
        """
        said = self.optional_json("processor_config.json").get("image_processor")
        said = self.optional_json("preprocessor_config.json") if said is None else said
        off = [name for name in ("do_rescale", "do_normalize") if isinstance(said, dict) and said.get(name) is False]
        if off or not isinstance(said, dict):
            raise InputError(
                f"Images cannot be prepared as {self.origin} says",
                received=" and ".join(f"{name}=false" for name in off) or f"image_processor={said!r}",
                expected="pixels that are rescaled and normalised",
            )
        return said

    def hash(self) -> str:
        """Returns a digest of the configuration and of every weight file."""
        return hash_of(self.config, [file_hash(path) for path in self._files])


def open_checkpoint(where: str, flag: str) -> Checkpoint:
    """Returns the checkpoint in the folder of `folder_of`.

    Raises:
      InputError: there is none, its files are damaged, or its weights are in a format that can run code.
    """
    return Checkpoint(folder_of(where, flag), where)


def folder_of(where: str, flag: str) -> Path:
    """Returns the folder that a user names, or that of hf://user/name[@revision], which is downloaded once.

    The environment variable HF_ENDPOINT names another hub.

    Raises:
      InputError: there is none.
    """
    if where.startswith(HUB):
        return downloaded(where, flag)
    folder = Path(where).expanduser()
    if not where or not folder.is_dir():
        raise InputError(
            "There is no checkpoint",
            received=f"--{flag}={where}",
            expected=f"a folder with config.json and *.safetensors, or {HUB}user/name",
        )
    return folder


def preset_folder(where: str, flag: str) -> Path:
    """Returns the folder of a preset of KerasHub that is no name on Kaggle; raises InputError where there is none."""
    if where.startswith(HUB):
        return downloaded(where, flag, _OF_A_PRESET, ())
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise InputError(
            "There is no checkpoint",
            received=f"--{flag}={where}",
            expected=f"a folder, {HUB}user/name, or {KAGGLE}user/model/keras/variation",
        )
    return folder


def downloaded(
    where: str, flag: str, wanted: Sequence[str] = _OF_A_CHECKPOINT, unwanted: Sequence[str] = _NOT_OF_A_CHECKPOINT
) -> Path:
    """Returns the folder that hf://user/name[@revision] is downloaded to; raises InputError where it cannot be had.

    Args:
      wanted: patterns of the files that are downloaded, but those that match `unwanted`.
    """
    from huggingface_hub import snapshot_download

    said = _HUB_NAME.fullmatch(where.removeprefix(HUB))
    if said is None:
        raise InputError(
            "A name on the hub cannot be read", received=f"--{flag}={where}", expected=f"{HUB}user/name[@revision]"
        )
    try:
        folder = snapshot_download(
            said["name"],
            revision=said["revision"],
            allow_patterns=list(wanted),
            ignore_patterns=list(unwanted),
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises for networks and for names
        raise InputError(
            f"The checkpoint --{flag}={where} cannot be downloaded ({type(error).__name__}: {str(error)[:160]})",
            remedy="Check the name and the network, or give a folder.",
        ) from None
    return Path(folder)


def _weight_files(folder: Path) -> list[Path]:
    """Returns the files that hold the weights; raises InputError where there are none, or where a shard is missing."""
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    if (folder / _INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{folder} lacks shards of its weights",
                received=f"no {some(missing)}",
                expected=f"all that {_INDEX} names",
            )
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise InputError(
            f"{folder} has {'several files of weights and no index' if found else 'no weights as safetensors'}",
            received=_listing(folder),
            expected=f"{_WHOLE}, or shards with {_INDEX}",
            remedy="Other formats are not read, since reading them can run code; save_pretrained of transformers"
            " writes safetensors.",
        )
    return found


def _weight_map(folder: Path) -> dict[str, str]:
    """Returns the name of each tensor's shard; raises InputError for an index that names none, or files elsewhere."""
    shards = _read(folder / _INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards or any(Path(str(name)).name != name for name in shards.values()):
        raise InputError(
            f"{folder / _INDEX} is no index of shards",
            expected='a "weight_map" from names of tensors to names of files beside it',
        )
    return shards


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(f"{path} is of something else", received=type(found).__name__, expected="a JSON object")
    return found


def opened(path: Path) -> Any:
    """Returns a file of tensors, to be read by name; raises InputError if it is damaged or no safetensors."""
    try:
        return safe_open(path, "np").__enter__()  # closed when it is collected
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is damaged or is no safetensors file ({error})", remedy="Download it again."
        ) from None


def _listing(folder: Path) -> str:
    return some(path.name for path in folder.iterdir())


def some(names: Any) -> str:
    """Returns the first names of many, sorted, for an error message."""
    names = sorted(names)
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (", ".join(names[:6]) or "none") + more
