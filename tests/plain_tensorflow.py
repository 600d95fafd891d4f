"""Captions of an exported model by a process that has TensorFlow and nothing of what made the model."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = """
    import json, sys
    for name in ("keras", "keras_hub", "tensorflow_text", "tfcap", "flags", "PIL"):
        sys.modules[name] = None  # importing it is now an error
    import tensorflow as tf
    serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    pictures = tf.constant([open(name, "rb").read() for name in sys.argv[2:]])
    print(json.dumps([text.decode() for text in serve(image_bytes=pictures)["caption"].numpy()]))
"""


def captions(saved_model: Path, pictures: Sequence[bytes], folder: Path) -> list[str]:
    """Returns the captions of encoded pictures, which are written into the folder; raises RuntimeError if it fails."""
    names = [f"picture{index}" for index in range(len(pictures))]
    for name, content in zip(names, pictures, strict=True):
        (folder / name).write_bytes(content)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(saved_model), *names]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])
