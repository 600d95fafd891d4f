"""What a piece of a pretrained vocabulary is as bytes, and the clean-up of the text that pieces make."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from tfcap.errors import InputError

# (found, put instead), in this order: what transformers calls the clean-up of tokenization spaces.
CLEAN_UP = (
    *((f" {mark}", mark) for mark in ".?!,"),
    (" ' ", "'"),
    *((f" {ending}", ending) for ending in ("n't", "'m", "'s", "'ve", "'re")),
)
_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")
_OF_SENTENCE_PIECES = {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}


def cleaned_up(text: str) -> str:
    """Returns a text without the spaces before its punctuation and its contractions."""
    for found, instead in CLEAN_UP:
        text = text.replace(found, instead)
    return text


def bytes_of_pieces(form: dict[str, Any]) -> Callable[[str], bytes]:
    """Returns the function from a piece to the bytes that it adds to a text; the text is then stripped.

    Args:
      form: what tokenizer.json says.

    Raises:
      InputError: its decoder is none of byte-level BPE (GPT-2, Llama 3; with </w> CLIP), BPE with an end of word,
        WordPiece (BERT) and SentencePiece (Gemma, Llama 2).
    """
    decoder = form["decoder"] or {"type": "none"}
    parts = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    by_kind = {part["type"]: part for part in parts}
    kinds = set(by_kind)
    if kinds == {"ByteLevel"}:
        return functools.partial(_of_byte_letters, form["model"].get("end_of_word_suffix") or "")
    if kinds == {"BPEDecoder"}:
        return functools.partial(_of_letters, by_kind["BPEDecoder"]["suffix"])
    if kinds == {"WordPiece"}:
        return functools.partial(_of_word_piece, by_kind["WordPiece"]["prefix"], by_kind["WordPiece"]["cleanup"])
    if kinds <= _OF_SENTENCE_PIECES and kinds & {"Metaspace", "Replace"}:
        replaced = by_kind["Metaspace"]["replacement"] if "Metaspace" in kinds else _replaced(by_kind["Replace"])
        return functools.partial(_of_sentence_piece, replaced, "ByteFallback" in kinds)
    raise InputError(
        "A tokenizer is of an unknown kind",
        received=f"the decoder {' and '.join(sorted(kinds))}",
        expected="byte-level BPE, WordPiece, or BPE as of SentencePiece",
    )


@functools.cache
def _byte_letters() -> dict[str, int]:
    """GPT-2's letter for each byte: itself where it can be seen, else the next one from 256 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + index): byte for index, byte in enumerate(unseen)}


def _of_byte_letters(end_of_word: str, piece: str) -> bytes:
    ends = bool(end_of_word) and piece.endswith(end_of_word)
    word, letters = piece.removesuffix(end_of_word) if ends else piece, _byte_letters()
    known = all(letter in letters for letter in word)  # an added token may hold others, and is then what it says
    return (bytes(letters[letter] for letter in word) if known else word.encode()) + b" " * ends


def _of_letters(end_of_word: str, piece: str) -> bytes:
    return piece.replace(end_of_word, " ").encode()


def _of_word_piece(continues: str, cleans_up: bool, piece: str) -> bytes:
    text = piece.removeprefix(continues) if piece.startswith(continues) else f" {piece}"
    return (cleaned_up(text) if cleans_up else text).encode()


def _replaced(replace: dict[str, Any]) -> str:
    pattern = replace["pattern"].get("String")
    if not pattern or replace["content"] != " ":
        raise InputError("A tokenizer is of an unknown kind", received=f"a decoder that replaces {replace['pattern']}")
    return pattern


def _of_sentence_piece(replaced: str, has_bytes: bool, piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece) if has_bytes else None
    return bytes([int(byte[1], 16)]) if byte else piece.replace(replaced, " ").encode()
