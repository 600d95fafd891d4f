"""The tokenizer files of a folder in the form of Hugging Face: what they build, and the marks that they name.

Read by the `tokenizers` library (https://github.com/huggingface/tokenizers), without pickle, network or code of the
folder.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcap.errors import InputError
from tfcap.files import read_json

if TYPE_CHECKING:
    import tokenizers

FORMS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))  # the first that is there is read
_END_OF_WORD = "</w>"
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

# What transformers takes where no file names the marks.
_USUAL_OF_BYTES = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
_USUAL_OF_CLIP = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
_USUAL_OF_WORD_PIECES = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}


@dataclasses.dataclass(frozen=True)
class SubwordFiles:
    """What a folder holds.

    Attributes:
      tokenizer: neither cuts nor pads; a mark that is spelled out in a text is text to it.
      names: the special tokens of the vocabulary by their role, `bos_token` and `eos_token` among them.
      cleans_up: whether spaces before punctuation are taken out of decoded text.
    """

    tokenizer: tokenizers.Tokenizer
    names: dict[str, str]
    cleans_up: bool

    @property
    def form(self) -> dict[str, Any]:
        """What tokenizer.json says, vocabulary included."""
        return json.loads(self.tokenizer.to_str())


def read_subwords(folder: Path) -> SubwordFiles:
    """Returns the tokenizer of a folder: of tokenizer.json, else of GPT-2's, CLIP's or BERT's vocabulary.

    The marks are those that tokenizer_config.json and special_tokens_map.json name, else the usual ones of such a
    tokenizer (GPT-2's, CLIP's or BERT's) that the vocabulary has, else those whose ids config.json gives. BERT's [CLS]
    and [SEP] begin and end. Where nothing begins a text, the end does, as in GPT-2.

    Raises:
      InputError: the folder has no tokenizer, it is damaged, it lacks a mark that is named, or no mark ends a text.
    """
    files = next((form for form in FORMS if all((folder / name).is_file() for name in form)), None)
    if files is None:
        raise InputError(
            f"{folder} has no tokenizer",
            expected="vocab.json and merges.txt, or tokenizer.json, or vocab.txt",
            remedy="`save_pretrained` of transformers writes tokenizer.json.",
        )
    said = _said(folder)
    try:
        tokenizer = _built(folder, files, said)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        read = SubwordFiles(tokenizer, _names(folder, tokenizer, said), _cleans_up(tokenizer, said))
        unknown = getattr(tokenizer.model, "unk_token", None)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - the Rust library behind it raises bare Exception for damaged files
        raise InputError(
            f"The tokenizer in {folder} cannot be read ({str(error)[:160]})", expected=" and ".join(files)
        ) from None
    if unknown and tokenizer.token_to_id(unknown) is None:
        raise _lacks(folder, unknown)
    return read


def _said(folder: Path) -> dict[str, Any]:
    """Returns the settings of the tokenizer, and of each role the token that is named for it."""
    said: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in _json(folder / name).items():
            said[key] = value.get("content") if key.endswith("_token") and isinstance(value, dict) else value
    return said


def _json(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged", received=type(found).__name__, expected="a JSON object")
    return found


def _built(folder: Path, files: tuple[str, ...], said: dict[str, Any]) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    if files == FORMS[0]:
        return Tokenizer.from_file(str(folder / files[0]))
    tokenizer = _of_pairs(folder, files, said) if files == FORMS[1] else _of_word_pieces(folder / files[0], said)
    more = [
        token for token, index in _json(folder / "added_tokens.json").items() if tokenizer.token_to_id(token) != index
    ]
    if more:
        raise InputError(
            f"{folder} has tokens beside its vocabulary",
            received=f"{len(more)} in added_tokens.json, {more[0]!r} among them",
            expected="tokenizer.json, which holds them all",
            remedy="`save_pretrained` of transformers writes it.",
        )
    return tokenizer


def _of_pairs(folder: Path, files: tuple[str, ...], said: dict[str, Any]) -> tokenizers.Tokenizer:
    """Byte-pair encoding of bytes: GPT-2's, or CLIP's where pieces end in </w>."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary, merges = models.BPE.read_file(*(str(folder / name) for name in files))
    clip = any(piece.endswith(_END_OF_WORD) for piece in vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, **({"end_of_word_suffix": _END_OF_WORD} if clip else {})))
    if clip:
        spaces = normalizers.Replace(Regex(r"\s+"), " ")
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
        words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    else:
        space = bool(said.get("add_prefix_space", False))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _of_word_pieces(path: Path, said: dict[str, Any]) -> tokenizers.Tokenizer:
    """BERT's: one piece a line."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    with open(path, encoding="utf-8") as lines:
        vocabulary = {line.rstrip("\n"): index for index, line in enumerate(lines)}
    unknown = said.get("unk_token") or _USUAL_OF_WORD_PIECES["unk_token"]
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=said.get("tokenize_chinese_chars", True),
        strip_accents=said.get("strip_accents"),
        lowercase=said.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _names(folder: Path, tokenizer: tokenizers.Tokenizer, said: dict[str, Any]) -> dict[str, str]:
    named = {role: token for role, token in said.items() if role.endswith("_token") and isinstance(token, str)}
    for role, alike in (("bos_token", "cls_token"), ("eos_token", "sep_token")):
        if alike in named:
            named.setdefault(role, named[alike])
    usual = {role: token for role, token in _usual(tokenizer).items() if tokenizer.token_to_id(token) is not None}
    names = {**_of_ids(folder, tokenizer), **usual, **named}
    if "eos_token" not in names:
        raise InputError(
            f"The tokenizer in {folder} has no mark for the end of a text",
            expected="eos_token or sep_token in tokenizer_config.json, or eos_token_id in config.json",
        )
    names.setdefault("bos_token", names["eos_token"])
    for role in ("bos_token", "eos_token", "pad_token"):
        if role in names and tokenizer.token_to_id(names[role]) is None:
            raise _lacks(folder, names[role])
    return {role: token for role, token in sorted(names.items()) if tokenizer.token_to_id(token) is not None}


def _usual(tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
    from tokenizers import decoders, models

    if isinstance(tokenizer.model, models.WordPiece):
        return _USUAL_OF_WORD_PIECES
    if isinstance(tokenizer.decoder, decoders.ByteLevel):
        return _USUAL_OF_CLIP if tokenizer.model.end_of_word_suffix else _USUAL_OF_BYTES
    return {}


def _of_ids(folder: Path, tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
    """Returns the marks whose ids config.json gives: of the model, or of its part for text."""
    config, names = _json(folder / "config.json"), {}
    for part in (config.get("decoder"), config.get("text_config"), config):
        for role in ("bos_token", "eos_token"):
            index = part.get(f"{role}_id") if isinstance(part, dict) else None
            index = index[0] if isinstance(index, list) and index else index
            token = tokenizer.id_to_token(index) if isinstance(index, int) and index >= 0 else None
            if token is not None:
                names[role] = token
    return names


def _cleans_up(tokenizer: tokenizers.Tokenizer, said: dict[str, Any]) -> bool:
    """As transformers 5 has it: where tokenizer_config.json says so, but never of byte-pair encodings."""
    from tokenizers import models

    return said.get("clean_up_tokenization_spaces") is True and not isinstance(tokenizer.model, models.BPE)


def _lacks(folder: Path, token: str) -> InputError:
    return InputError(
        f"The tokenizer in {folder} lacks a token that its files name", received=f"no {token!r} in the vocabulary"
    )
