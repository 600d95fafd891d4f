"""The names of classes as a vocabulary: a picture's one caption is the name of its class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.files import hash_of, write_text

if TYPE_CHECKING:
    import tensorflow as tf


class ClassNames:
    """Maps the name of a class to its number and back; an encoded caption is that one number.

    Attributes:
      names: in alphabetical order, as CIFAR-10 has its own.
      max_tokens: 1.
    """

    saved_as = "classes.txt"
    marks = Marks()
    max_tokens = 1

    def __init__(self, names: Sequence[str]) -> None:
        if len(names) < 2 or len(set(names)) < len(names):
            raise InputError(
                "There is nothing to tell apart",
                received=", ".join(names) or "no class",
                expected="two classes or more",
            )
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}

    @classmethod
    def of(cls, captions: Iterable[Sequence[str]]) -> ClassNames:
        """Returns the classes of a data set.

        Raises:
          InputError: a picture has several captions or none, or there is one class alone.
        """
        names = set()
        for texts in captions:
            if len(texts) != 1:
                raise InputError(
                    "Pictures that are classified have one caption each, the name of their class",
                    received=f"{len(texts)} captions"
                    + "".join(f", the first being {text[:60]!r}" for text in texts[:1]),
                    expected="a data set of classes, such as cifar10 or objects",
                )
            names.add(texts[0])
        return cls(sorted(names))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ClassNames:
        """Returns what `save` wrote at `path`."""
        return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the names, one a line, atomically."""
        write_text(path, "".join(f"{name}\n" for name in self.names))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def hash(self) -> str:
        return hash_of(self.names)

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Returns int32 [N, 1]; raises InputError for a name that is not among the classes."""
        unknown = sorted(set(captions) - self._numbers.keys())
        if unknown:
            raise InputError(
                "A picture is of a class that no picture of train shows",
                received=repr(unknown[0]),
                expected=", ".join(self.names[:20]),
            )
        return np.array([[self._numbers[name]] for name in captions], np.int32).reshape(-1, 1)

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Returns the name of the class of each row of int [B, 1]."""
        return [self.names[number] for number in np.asarray(tokens)[:, 0]]

    def decode_in_graph(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns string [B] from int32 [B, 1], as `decode` does, with TensorFlow ops alone."""
        import tensorflow as tf

        return tf.gather(tf.constant(self.names), tokens[:, 0])
