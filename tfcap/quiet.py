"""Importing this before TensorFlow silences its start-up messages; a user's own TF_CPP_MIN_LOG_LEVEL is kept.

TensorFlow's libraries write a few lines to file descriptor 2 while they load, before any level is read
(2.21: "oneDNN custom operations are on", "Could not find cuda drivers"), so the descriptor is turned away
for that moment. If the import fails, what was written is shown.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

_SET_BY_US = "TFCAP_SET_TF_LOG_LEVEL"  # inherited by child processes, which are to be as silent

if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
    os.environ[_SET_BY_US] = os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@contextlib.contextmanager
def _descriptor_2_turned_away() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(kept, written.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if _SET_BY_US in os.environ:
    with _descriptor_2_turned_away():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401

    # Its Python side warns of retracing, which the few lengths that captions are cut to make on purpose.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
