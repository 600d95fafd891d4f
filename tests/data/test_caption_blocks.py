"""Blocks of a split hold its captions, in order and whole, however it is cut into shards and blocks."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import tfrecords_builder
from tfcap.data import caption_blocks
from tfcap.data.caption_blocks import blocks_of, texts_in, texts_of
from tfcap.data.record_index import payloads
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.settings import DataSettings


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """60 scenes of which the 48 of train lie in three files."""
    data = DataSettings(scenes_size=60, shards=3, data_dir=str(tmp_path_factory.mktemp("sharded")))
    return tfrecords_builder.build(data, progress=False)


def _check(found, records):
    found, captions = list(found), records.captions
    starts = np.cumsum([0, *(len(texts.captions) for texts in found)])
    assert [texts.start for texts in found] == starts[:-1].tolist() and starts[-1] == len(records)
    assert list(itertools.chain.from_iterable(texts.captions for texts in found)) == captions
    assert [texts.following for texts in found] == [*(captions[start][0] for start in starts[1:-1]), ""]


@pytest.mark.parametrize("parsed", [5, 512])
@pytest.mark.parametrize(("most", "limit"), [(1, 0), (7, 0), (7, 20), (16, 0), (1000, 0), (1000, 33)])
def test_blocks_hold_the_captions_and_the_one_after_them(sharded, monkeypatch, most, limit, parsed):
    monkeypatch.setattr(caption_blocks, "_PARSED", parsed)
    records = Records(sharded, "train", limit)
    blocks = blocks_of(records, most)
    assert max(block.records for block in blocks) <= min(most, 16)
    assert len({block.place.path for block in blocks}) == -(-len(records) // 16)
    _check((texts for block in blocks for texts in texts_of(block)), records)


def test_parts_of_captions_in_memory_say_the_one_after_them(sharded, monkeypatch):
    monkeypatch.setattr(caption_blocks, "_PARSED", 9)
    records = Records(sharded, "train")
    _check(texts_in(records.captions), records)


def test_a_stretch_is_the_records_themselves(sharded):
    records = Records(sharded, "train")
    assert list(payloads(records.stretch(16, 32))) == records.raw(range(16, 32))


def test_a_shard_that_a_worker_does_not_see_is_an_input_error(sharded, tmp_path):
    block = blocks_of(Records(sharded, "train"), 1000)[0]
    with pytest.raises(InputError, match=r"not there. Received: .*/absent. Expected: a folder that all workers share"):
        list(texts_of(block._replace(place=block.place._replace(path=str(tmp_path / "absent")))))


@pytest.mark.parametrize("cut", [1, 4, 5, 100, 1000])
def test_a_shard_that_ends_too_early_is_an_input_error(sharded, tmp_path, cut):
    block = blocks_of(Records(sharded, "train"), 1000)[0]
    short = tmp_path / "short.tfrecord"
    short.write_bytes(Path(block.place.path).read_bytes()[: block.place.end - cut])
    with pytest.raises(InputError, match=r"cut short. Received: .*short.tfrecord"):
        list(texts_of(block._replace(place=block.place._replace(path=str(short)))))
