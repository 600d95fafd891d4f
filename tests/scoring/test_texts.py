"""Scores of captions in parts are, bit for bit, those of the captions as a whole, in whichever process."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tfcap.data import caption_blocks
from tfcap.data.caption_blocks import Texts, texts_in
from tfcap.scoring.caption_consensus import CaptionConsensus
from tfcap.scoring.texts import score_texts
from tfcap.settings import SelectionSettings

# A tokenizer that looks ahead reads "b." before "The" as the end of a sentence and before "Dogs" as an initial.
CAPTIONS = [
    ["a dog runs on grass", "a brown dog runs", "the dog is on bus b."],
    ["The men play chess", "two men at a table"],
    ["a red bus", "a bus in the street", "a bus with the letter b."],
    ["Dogs and a bus", "a dog by the bus b.", "a dog, a bus"],
]


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("parsed", [1, 2, 3, 512])
def test_parts_score_as_the_whole_does(monkeypatch, parsed, pairs):
    monkeypatch.setattr(caption_blocks, "_PARSED", parsed)
    signal = CaptionConsensus(SelectionSettings())
    whole = (signal.of_captions if pairs else signal.of_images)(CAPTIONS)
    found = score_texts(signal, lambda: texts_in(CAPTIONS), len(CAPTIONS), pairs, progress=False)
    assert found.dtype == np.float32 and np.unique(found).size > 2
    np.testing.assert_array_equal(found, whole.astype(np.float32))


def test_the_caption_after_a_part_is_heeded():
    signal = CaptionConsensus(SelectionSettings())
    heeded, forgotten = (signal.count(Texts(0, CAPTIONS[:1], after)) for after in ("The men play chess", ""))
    assert "b" in heeded and "b." in forgotten and heeded != forgotten


def test_what_one_image_alone_has_may_be_left_out_of_the_counts():
    signal, whole = CaptionConsensus(SelectionSettings()), Texts(0, CAPTIONS, "")
    counts = signal.count(whole)
    assert min(counts.values()) == 1 < max(counts.values())
    fewer = [(gram, count) for gram, count in counts.items() if count > 1]
    everything, less = (signal.scorer(some, len(CAPTIONS))(whole) for some in (counts.items(), fewer))
    np.testing.assert_array_equal(everything, less)


def test_the_order_in_which_python_keeps_strings_changes_no_bit():
    program = (
        "from tfcap.evaluation.cider import GramWeights, consensus\n"
        "words = [f'w{i * i % 23}' for i in range(60)]\n"
        "texts = [' '.join(words[3 * i:3 * i + 24]) for i in range(6)]\n"
        "weights = GramWeights({w: 2 + i for i, w in enumerate(dict.fromkeys(words))}.items(), 1000)\n"
        "print([value.hex() for value in consensus(texts, weights)])\n"
    )

    def said(seed):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True, timeout=60)

    first = said(0)
    assert "0x1." in first and all(said(seed) == first for seed in (1, 2, 3))
