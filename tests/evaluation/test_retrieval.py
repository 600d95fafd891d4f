"""Ranks against loops and against the published evaluation; ties at chance; the order of rows means nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfcap.evaluation import retrieval
from tfcap.evaluation.crossed import mean_over_seeds
from tfcap.evaluation.retrieval import hits, ranks, ranks_of, summary

IMAGES, TEXTS = "image_to_text", "text_to_image"


def _by_loops(scores, owners):
    """The ranks of both directions, counted candidate by candidate."""
    of_images, of_texts = [], []
    for image, row in enumerate(scores):
        best = max(score for score, owner in zip(row, owners, strict=True) if owner == image)
        wrong = [score for score, owner in zip(row, owners, strict=True) if owner != image]
        of_images.append(sum(1.0 if score > best else 0.5 if score == best else 0.0 for score in wrong))
    for text, owner in enumerate(owners):
        wrong = [scores[image][text] for image in range(len(scores)) if image != owner]
        own = scores[owner][text]
        of_texts.append(sum(1.0 if score > own else 0.5 if score == own else 0.0 for score in wrong))
    return of_images, of_texts


def _published(scores_of_images, scores_of_texts, owners):
    """The recalls of `itm_eval`: descending argsort, and of an image the least rank of its own captions."""
    own = {image: np.flatnonzero(owners == image) for image in range(len(scores_of_images))}
    of_images = np.zeros(len(scores_of_images))
    for index, score in enumerate(scores_of_images):
        order = np.argsort(score)[::-1]
        rank = 1e20
        for text in own[index]:
            rank = min(rank, np.where(order == text)[0][0])
        of_images[index] = rank
    of_texts = np.zeros(len(scores_of_texts))
    for index, score in enumerate(scores_of_texts):
        order = np.argsort(score)[::-1]
        of_texts[index] = np.where(order == owners[index])[0][0]
    return [[100.0 * len(np.where(found < k)[0]) / len(found) for k in (1, 5, 10)] for found in (of_images, of_texts)]


@st.composite
def _matrices(draw):
    """Scores [N, T] of few values, so that there are ties, and the images of captions of unequal numbers."""
    images = draw(st.integers(1, 7))
    owners = [*range(images), *draw(st.lists(st.integers(0, images - 1), max_size=9))]
    owners = np.array(draw(st.permutations(owners)))
    values = draw(st.lists(st.integers(-2, 2), min_size=images * len(owners), max_size=images * len(owners)))
    return np.array(values, np.float32).reshape(images, len(owners)), owners


def _unequal(seed, images=40, texts=130):
    rng = np.random.default_rng(seed)
    owners = rng.permutation(np.r_[np.arange(images), rng.integers(images, size=texts - images)])
    return rng.normal(size=(images, texts)) + (owners == np.arange(images)[:, None]), owners


@given(_matrices())
def test_ranks_are_those_counted_candidate_by_candidate(made):
    scores, owners = made
    found = ranks(scores, owners)
    assert (found.image_to_text.tolist(), found.text_to_image.tolist()) == _by_loops(scores, owners)


@given(_matrices(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_captions_means_nothing(made, random):
    scores, owners = made
    rows, columns = (random.sample(range(size), size) for size in scores.shape)
    places = np.argsort(rows)  # where each image has gone
    found, moved = ranks(scores, owners), ranks(scores[rows][:, columns], places[owners[columns]])
    assert moved.image_to_text.tolist() == found.image_to_text[rows].tolist()
    assert moved.text_to_image.tolist() == found.text_to_image[columns].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_without_ties_the_recalls_are_the_published_ones(seed):
    scores, owners = _unequal(seed)
    found = summary(ranks(scores, owners))
    ours = [[found[direction][f"R@{k}"] for k in (1, 5, 10)] for direction in (IMAGES, TEXTS)]
    assert ours == _published(scores, scores.T, owners)


def test_equal_scores_have_the_median_rank_of_guessing_and_find_nothing():
    owners = np.repeat(np.arange(100), 5)
    found = summary(ranks(np.zeros((100, 500)), owners))
    assert found[IMAGES] == {"R@1": 0, "R@5": 0, "R@10": 0, "median_rank": 1 + 495 / 2}
    assert found[TEXTS] == {"R@1": 0, "R@5": 0, "R@10": 0, "median_rank": 1 + 99 / 2}
    assert _published(np.zeros((100, 500)), np.zeros((500, 100)), owners)[1] == [1, 5, 10]


def test_an_own_caption_does_not_stand_in_the_way_of_another():
    scores = [[0.9, 0.9, 0.8, 0.1], [0.9, 0.5, 0.0, 0.7]]
    found = ranks(np.array(scores), np.array([0, 0, 0, 1]))
    assert found.image_to_text.tolist() == [0, 1]
    assert found.text_to_image.tolist() == [0.5, 0, 0, 0]


def test_one_image_is_found_always():
    found = summary(ranks(np.zeros((1, 3)), np.zeros(3, int)))
    assert found[IMAGES] == found[TEXTS] == {"R@1": 100, "R@5": 100, "R@10": 100, "median_rank": 1}


def test_hits_are_by_image_and_give_an_interval_over_seeds_and_images():
    scores = np.array([[0.9, 0.1, 0.2, 0.3], [0.5, 0.4, 0.3, 0.2]])
    found = ranks(scores, np.array([0, 0, 0, 1]))
    one = hits(found, 1)
    assert one[IMAGES].tolist() == [1, 0] and one[TEXTS].tolist() == pytest.approx([1 / 3, 0])
    values = summary(found)["per_item"]
    assert all(np.array_equal(values[direction]["R@1"], one[direction]) for direction in (IMAGES, TEXTS))
    estimate = mean_over_seeds(np.stack([values[IMAGES]["R@1"]] * 3))
    assert estimate.value == 0.5 and estimate.low < 0.5 < estimate.high


def test_with_as_many_captions_an_image_the_hits_average_to_the_recall():
    scores, owners = np.random.default_rng(0).normal(size=(30, 150)), np.tile(np.arange(30), 5)
    found = summary(ranks(scores, owners))
    for direction in (IMAGES, TEXTS):
        for k in (1, 5, 10):
            name = f"R@{k}"
            assert 100 * found["per_item"][direction][name].mean() == pytest.approx(found[direction][name])


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_vectors_give_the_ranks_of_their_products(block):
    rng = np.random.default_rng(0)
    owners = rng.permutation(np.r_[np.arange(60), rng.integers(60, size=90)])
    images, texts = (rng.integers(-2, 3, (size, 6)).astype(np.float32) for size in (60, 150))  # exact, with ties
    found, whole = ranks_of(images, texts, owners, block), ranks(images @ texts.T, owners)
    assert found.image_to_text.tolist() == whole.image_to_text.tolist()
    assert found.text_to_image.tolist() == whole.text_to_image.tolist()
    assert (found.image_to_text % 1 == 0.5).any()


def test_half_precision_is_multiplied_in_single():
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(size, 8)).astype(np.float16) for size in (20, 60))
    found = ranks_of(images, texts, np.arange(60) % 20)
    whole = ranks(images.astype(np.float32) @ texts.astype(np.float32).T, np.arange(60) % 20)
    assert found.image_to_text.tolist() == whole.image_to_text.tolist()


def test_blocks_change_nothing(monkeypatch):
    scores, owners = _unequal(0)
    whole = ranks(scores, owners)
    monkeypatch.setattr(retrieval, "_BLOCK_ENTRIES", 300)
    found = ranks(scores, owners)
    assert found.image_to_text.tolist() == whole.image_to_text.tolist()
    assert found.text_to_image.tolist() == whole.text_to_image.tolist()


@pytest.mark.parametrize(
    ("scores", "owners", "message"),
    [
        (np.zeros((2, 3)), [0, 0, 0], "1 of 2 images have no caption"),
        (np.zeros((0, 0)), np.zeros(0, int), "0 of 0 images"),
        (np.zeros((2, 3)), [0, 1, 2], "images 0 to 2; there are 2"),
        (np.zeros((2, 3)), [0, 1, -1], "images -1 to 1; there are 2"),
        (np.zeros((2, 3)), [0, 1], "3 captions need whole numbers"),
        (np.zeros((2, 3)), [0.0, 1.0, 1.0], "3 captions need whole numbers"),
        (np.zeros(3), [0, 0, 0], "not of shape"),
        (np.array([[0.0, np.nan], [1.0, 2.0]]), [0, 1], "NaN"),
    ],
)
def test_what_has_no_rank_is_an_error(scores, owners, message):
    with pytest.raises(ValueError, match=message):
        ranks(scores, np.array(owners))


def test_vectors_of_different_sizes_have_no_product():
    with pytest.raises(ValueError, match="have no product"):
        ranks_of(np.zeros((2, 3)), np.zeros((2, 4)), np.arange(2))
