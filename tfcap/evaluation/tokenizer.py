"""Penn Treebank tokens of captions: the official Java tokenizer, or our own regular expressions where Java is absent.

Source: the evaluation of COCO captions (Chen et al. 2015) lower-cases with Stanford's PTBTokenizer (CoreNLP 3.4.1)
and drops punctuation; scores are comparable with published ones only on these tokens.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tfcap.errors import InputError
from tfcap.evaluation.ptb_regex import split_words

K = TypeVar("K", bound=Hashable)

PTB_JAVA = "ptb-java"
PTB_REGEX = "ptb-regex"
# As pycocoevalcap lists them: brackets in upper case, while the tokens are lower-case, so "-lrb-" stays a word.
PUNCTUATION = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)


def tokenize(
    captions: Mapping[K, Sequence[str]], java: str = "auto", following: str = ""
) -> tuple[dict[K, list[str]], str]:
    """Tokenises captions as the COCO evaluation does.

    Args:
        captions: raw captions for each key; a key may have none, and a caption may be empty.
        java: "auto" uses Java where it is, "never" does not, "require" raises where it is absent.
        following: the caption after the last, where these are a part of more; Java's tokens do not heed it.

    Returns:
        The same keys with as many strings, lower-case tokens separated by single spaces; and the tokenizer's name,
        "ptb-java" or "ptb-regex".

    Raises:
        InputError: `java` is none of the three words, or Java is required and absent.
    """
    if java not in ("auto", "never", "require"):
        raise InputError("Unknown --java", received=repr(java), expected="one of auto, never, require")
    path = jar("tokenizer/stanford-corenlp-3.4.1.jar")
    usable = java != "never" and path is not None and java_available()
    if java == "require" and not usable:
        raise InputError(
            "Java is required for the official tokenizer and METEOR, and it is absent",
            expected="a Java runtime (8 or later) on PATH and pycocoevalcap 1.2",
            remedy="Install one, or use --java=auto.",
        )
    lines = [" ".join(caption.split()) for texts in captions.values() for caption in texts]
    tokens = iter(_java_lines(path, lines) if usable and path is not None else _regex_lines(lines, following))
    return {key: [next(tokens) for _ in texts] for key, texts in captions.items()}, PTB_JAVA if usable else PTB_REGEX


@functools.cache
def java_available() -> bool:
    """Returns whether `java -version` runs; asked once a process."""
    try:
        return subprocess.run(["java", "-version"], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@functools.cache
def jar(name: str) -> Path | None:
    """Returns the path of a jar that pycocoevalcap carries, or None where it does not."""
    package = importlib.util.find_spec("pycocoevalcap")
    folders = package.submodule_search_locations if package else None
    paths = [Path(folder) / name for folder in folders or ()]
    return next((path.resolve() for path in paths if path.is_file()), None)


def _java_lines(path: Path, lines: list[str]) -> list[str]:
    """Tokenises by Stanford's jar through its standard input, so that nothing is written beside it."""
    if not lines:
        return []
    main = "edu.stanford.nlp.process.PTBTokenizer"
    command = ["java", "-Dfile.encoding=UTF-8", "-cp", str(path), main, "-preserveLines", "-lowerCase"]
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run(command, input=text.encode("utf-8", "replace"), capture_output=True, check=False)
    tokenized = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    if done.returncode or len(tokenized) != len(lines):
        raise RuntimeError(
            f"The PTB tokenizer gave {len(tokenized)} lines for {len(lines)} captions (exit code {done.returncode})"
        )
    return [_without_punctuation(line.rstrip().split(" ")) for line in tokenized]


def _regex_lines(lines: list[str], following: str) -> list[str]:
    after = [*lines[1:], " ".join(following.split())]
    return [_without_punctuation(split_words(line, later)) for line, later in zip(lines, after, strict=False)]


def _without_punctuation(tokens: Sequence[str]) -> str:
    return " ".join(token for token in tokens if token not in PUNCTUATION)
