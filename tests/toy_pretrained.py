"""A captioner whose weights come whole out of its checkpoint, in the place of the pretrained ones."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from tfcap import journal, registry
from tfcap.data.text import SPECIAL, WordTokenizer
from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.lstm import LSTMCaptioner

WHERE = "tests.toy_pretrained:ToyPretrained"


class ToyPretrained(LSTMCaptioner):
    """An LSTM whose decoder's weights are drawn by the seed in the checkpoint's config.json."""

    @classmethod
    def of(cls, encoder, vocabulary_size, settings):
        checkpoint = open_checkpoint(settings.model.checkpoint, "checkpoint")
        made = cls(encoder, encoder.feature_size, vocabulary_size, units=8, embedding_size=8, dropout=0.0)
        rng = np.random.default_rng(checkpoint.config["seed"])
        of_images = {id(variable) for variable in encoder.weights}
        for variable in made.trainable_variables:
            if id(variable) not in of_images:
                variable.assign(rng.normal(0, 1, variable.shape))
        return made


def write_checkpoint(folder: Path, seed: int = 0) -> Path:
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "toy", "seed": seed}), encoding="utf-8")
    save_file({"one": np.ones(1, np.float32)}, folder / "model.safetensors")
    words = [*SPECIAL, *(f"word{number}" for number in range(30))]
    WordTokenizer(words, max_tokens=12).save(folder / WordTokenizer.saved_as)
    return folder


def register() -> None:
    """Adds `toy` to the captioners that can be used as they are."""
    for table in (registry.CAPTIONERS, registry.DIRECT):
        table._targets["toy"] = WHERE


def main() -> None:
    """The real command with `toy` among its captioners, and time to kill it between two batches."""
    from tfcap import evaluate

    register()
    add = journal.Journal.add

    def slowly(self: journal.Journal, entry: dict) -> None:
        add(self, entry)
        time.sleep(0.1)

    journal.Journal.add = slowly
    evaluate.main(sys.argv)


if __name__ == "__main__":
    main()
