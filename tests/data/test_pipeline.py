"""Batches: every kept example once an epoch, the same ones whatever the workers, the resumption or the mask."""

import numpy as np
import pytest

from tfcap.data.pipeline import LENGTH_STEP, Captions, Inputs, SequentialBatches, TrainingBatches
from tfcap.data.records import Records
from tfcap.data.text import BEGIN, PAD, WordTokenizer

SIZE = 16
KEPT = np.setdiff1d(np.arange(48), [0, 5, 6, 40, 47])  # 43 of 48


@pytest.fixture(scope="module")
def records(scenes):
    return Records(scenes, "train")


@pytest.fixture(scope="module")
def captions(records):
    texts = [text for group in records.captions for text in group]
    return Captions(records, WordTokenizer.fit(texts, min_count=1, max_tokens=24))


@pytest.fixture(scope="module")
def features(records):
    """Row n holds n, so that a batch shows which records it was made of."""
    return np.arange(len(records), dtype=np.float32)[:, None] + np.zeros([1, 3], np.float32)


@pytest.fixture(scope="module")
def inputs(records, features):
    return Inputs(records, SIZE, features=features)


def _training(inputs, captions, positions=KEPT, batch_size=8, seed=0, worker=(0, 1)):
    return TrainingBatches(inputs, captions, positions, batch_size, seed, worker)


def _same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def _seen(batches):
    return np.concatenate([batch["position"][batch["weights"] > 0] for batch in batches])


@pytest.mark.parametrize("batch_size", [1, 7, 8, 43, 64])
def test_an_epoch_holds_each_kept_record_exactly_once(inputs, captions, batch_size):
    training = _training(inputs, captions, batch_size=batch_size)
    batches = list(training.epoch(0))
    assert len(batches) == training.steps_per_epoch == -(-43 // batch_size)
    assert sorted(_seen(batches)) == KEPT.tolist()


def test_every_batch_has_full_size_and_its_padding_has_weight_0(inputs, captions):
    for batch in _training(inputs, captions).epoch(0):
        assert {name: len(array) for name, array in batch.items()} == dict.fromkeys(batch, 8)
        assert batch["weights"].dtype == np.float32 and set(batch["weights"]) <= {0.0, 1.0}
    weights = [batch["weights"].sum() for batch in _training(inputs, captions).epoch(0)]
    assert sorted(weights) == [3, 8, 8, 8, 8, 8]


@pytest.mark.parametrize(("count", "size"), [(43, 8), (5, 16), (1, 4)])
def test_the_tail_of_an_epoch_is_filled_with_its_own_images_as_often_as_each_other_up_to_one(
    inputs, captions, features, count, size
):
    """Batch normalisation sees them all; the loss sees each once."""
    (tail,) = (batch for batch in _training(inputs, captions, KEPT[:count], size).epoch(0) if 0 in batch["weights"])
    own = tail["position"][tail["weights"] > 0]
    assert len(own) == count % size and tail["weights"].tolist() == [1.0] * len(own) + [0.0] * (size - len(own))
    seen, times = np.unique(tail["position"], return_counts=True)
    assert seen.tolist() == sorted(own.tolist()) and times.sum() == size and np.ptp(times) <= 1
    np.testing.assert_array_equal(tail["features"], features[tail["position"]])


def test_features_are_those_of_the_batch_s_positions(inputs, captions, features):
    for batch in _training(inputs, captions).epoch(1):
        np.testing.assert_array_equal(batch["features"], features[batch["position"]])


def test_tokens_are_one_of_the_record_s_own_captions(inputs, captions):
    for batch in _training(inputs, captions).epoch(0):
        for position, row in zip(batch["position"], batch["tokens"], strict=True):
            own = captions.tokens[captions.start[position] : captions.start[position + 1], : len(row)]
            assert (own == row).all(axis=1).any()


def test_no_caption_is_cut_by_the_batch_s_length(inputs, captions):
    widths = set()
    for batch in _training(inputs, captions).epoch(0):
        width = batch["tokens"].shape[1]
        longest = (batch["tokens"] != PAD).sum(axis=1).max()
        widths.add(width)
        assert width % LENGTH_STEP == 0 and longest <= width < longest + LENGTH_STEP
        assert (batch["tokens"][:, 0] == BEGIN).all()
    assert len(widths) > 1


def test_an_epoch_repeats_itself_and_differs_from_the_next(inputs, captions):
    training = _training(inputs, captions)
    for first, second in zip(training.epoch(2), training.epoch(2), strict=True):
        _same(first, second)
    assert _seen(training.epoch(2)).tolist() != _seen(training.epoch(3)).tolist()
    assert _seen(_training(inputs, captions, seed=1).epoch(2)).tolist() != _seen(training.epoch(2)).tolist()


@pytest.mark.parametrize("first_step", [1, 3, 5, 6])
def test_a_resumed_epoch_is_the_tail_of_the_whole_one(inputs, captions, first_step):
    training = _training(inputs, captions)
    tail = list(training.epoch(1))[first_step:]
    resumed = list(training.epoch(1, first_step))
    assert len(resumed) == len(tail)
    for expected, found in zip(tail, resumed, strict=True):
        _same(expected, found)


@pytest.mark.parametrize("count", [2, 4])
def test_the_shares_of_the_workers_make_up_the_batch_of_one(inputs, captions, count):
    whole = list(_training(inputs, captions).epoch(0))
    shares = [list(_training(inputs, captions, worker=(index, count)).epoch(0)) for index in range(count)]
    for expected, *parts in zip(whole, *shares, strict=True):
        assert {len(part["position"]) for part in parts} == {8 // count}
        _same(expected, {name: np.concatenate([part[name] for part in parts]) for name in expected})


def test_the_caption_drawn_for_an_id_depends_on_neither_batch_size_nor_mask(inputs, captions):
    def drawn(positions, batch_size):
        batches = _training(inputs, captions, positions, batch_size).epoch(4)
        rows = {}
        for batch in batches:
            for position, row in zip(batch["position"], batch["tokens"], strict=True):
                rows[int(position)] = row[row != PAD].tolist()
        return rows

    whole = drawn(np.arange(48), 8)
    assert drawn(np.arange(48), 5) == whole
    assert drawn(KEPT, 8) == {position: whole[position] for position in KEPT.tolist()}


def test_all_captions_of_an_image_are_drawn_in_time(inputs, captions, records):
    first = captions.start[:-1]
    chosen = set()
    for epoch in range(60):
        rows = captions.draw(records.ids, np.arange(48), seed=0, epoch=epoch)
        for position in range(48):
            own = captions.tokens[first[position] : captions.start[position + 1]]
            chosen.add((position, int(np.flatnonzero((own == rows[position]).all(axis=1))[0])))
    distinct = sum(
        len({row.tobytes() for row in captions.tokens[captions.start[n] : captions.start[n + 1]]}) for n in range(48)
    )
    assert len(chosen) == distinct


def test_a_mask_keeps_the_mutual_order_of_what_it_keeps(inputs, captions):
    """The order of examples before they are grouped by length: with one batch an epoch nothing else moves them."""
    whole = _seen(_training(inputs, captions, np.arange(48), 48).epoch(0)).tolist()
    kept = _seen(_training(inputs, captions, KEPT, 48).epoch(0)).tolist()
    assert kept == [position for position in whole if position in set(KEPT.tolist())]


def test_images_are_decoded_for_the_batch_s_positions(records, captions):
    inputs = Inputs(records, SIZE)
    pictures = {int(p): one for p, one in _pictures(inputs, np.arange(48))}
    for batch in _training(inputs, captions).epoch(0):
        assert batch["images"].dtype == np.uint8 and batch["images"].shape == (8, SIZE, SIZE, 3)
        for position, image in zip(batch["position"], batch["images"], strict=True):
            np.testing.assert_array_equal(image, pictures[int(position)])
    assert len({image.tobytes() for image in pictures.values()}) > 40


def _pictures(inputs, positions, batch_size=5):
    for batch in SequentialBatches(inputs, positions, batch_size):
        present = batch["weights"] > 0
        yield from zip(batch["position"][present], batch["images"][present], strict=True)


def test_augmentation_depends_on_seed_epoch_and_id_alone(records, captions):
    inputs = Inputs(records, SIZE, "crop_flip")

    def seen(epoch, batch_size, seed=0, worker=(0, 1), first_step=0):
        batches = list(_training(inputs, captions, KEPT, batch_size, seed, worker).epoch(epoch, first_step))
        return {
            int(p): i.tobytes() for batch in batches for p, i in zip(batch["position"], batch["images"], strict=True)
        }

    whole = seen(0, 8)
    assert seen(0, 5) == whole
    for part in (seen(0, 8, worker=(1, 2)), seen(0, 8, first_step=4)):
        assert part and part.items() <= whole.items()
    for other in (seen(1, 8), seen(0, 8, seed=1)):
        assert sum(other[position] != whole[position] for position in whole) > 20


def test_only_training_augments(records, captions):
    plain = dict(_pictures(Inputs(records, SIZE), np.arange(10)))
    augmenting = dict(_pictures(Inputs(records, SIZE, "crop_flip"), np.arange(10)))
    _same({str(p): i for p, i in plain.items()}, {str(p): i for p, i in augmenting.items()})
    ((_, trained),) = Inputs(records, SIZE, "crop_flip").stream([np.arange(10)], seed=0, epoch=0)
    assert sum(not np.array_equal(trained[position], plain[position]) for position in plain) > 5


def test_the_longest_caption_of_each_record(captions):
    lengths = (captions.tokens != PAD).sum(axis=1)
    expected = [lengths[captions.start[n] : captions.start[n + 1]].max() for n in range(48)]
    assert captions.longest().tolist() == expected and len(set(expected)) > 1


# Sequential batches.


def test_sequential_batches_follow_the_positions_given(inputs, captions):
    positions = np.array([5, 2, 40, 41, 7])
    batches = list(SequentialBatches(inputs, positions, 2, captions))
    assert [batch["position"].tolist() for batch in batches] == [[5, 2], [40, 41], [7, 7]]
    assert [batch["features"][:, 0].tolist() for batch in batches] == [[5, 2], [40, 41], [7, 7]]
    assert batches[0]["weights"].tolist() == [[1.0] * 5] * 2
    assert batches[2]["weights"].tolist() == [[1.0] * 5, [0.0] * 5]


def test_sequential_batches_without_captions_have_a_weight_per_image(inputs):
    batches = list(SequentialBatches(inputs, np.arange(3), 2))
    assert [batch["weights"].tolist() for batch in batches] == [[1.0, 1.0], [1.0, 0.0]]
    assert "tokens" not in batches[0]


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_sequential_batches_start_anywhere(inputs, captions, first):
    batches = SequentialBatches(inputs, np.arange(17), 6, captions)
    assert len(batches) == 3
    tail, started = list(batches)[first:], list(batches.start(first))
    assert len(tail) == len(started)
    for expected, found in zip(tail, started, strict=True):
        _same(expected, found)


def test_records_with_fewer_captions_are_padded_with_weight_0(records):
    class Uneven:
        captions = [["a"], ["a b", "b"], ["a b a", "b", "a"]]

    captions = Captions(Uneven, WordTokenizer.fit(["a b"], 1, 6))
    tokens, weights = captions.all(np.array([2, 0, 1]))
    assert tokens.shape == (3, 3, 6) and tokens.dtype == np.int32
    assert weights.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    np.testing.assert_array_equal(tokens[0], captions.tokens[3:6])
    np.testing.assert_array_equal(tokens[1, 0], captions.tokens[0])
    assert (tokens[1, 1:] == PAD).all() and (tokens[2, 2] == PAD).all()
