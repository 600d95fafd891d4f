"""--level=pair: captions are scored and kept one by one, through every command that knows of examples."""

import numpy as np
import pytest
from pycocotools.coco import COCO

from tfcap import experiment, inspect, select
from tfcap.data.masks import Mask
from tfcap.data.pairs import Pairs
from tfcap.data.pipeline import Captions, SequentialBatches, SingleCaptions
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.preparation import Preparation
from tfcap.scores import scores_of
from tfcap.settings import Settings

IMAGES, PAIRS = 48, 240


@pytest.fixture(scope="module")
def records(scenes):
    return Records(scenes, "train")


@pytest.fixture(scope="module")
def pairs(records):
    return Pairs(records)


@pytest.fixture(scope="module")
def run(toy_flags, tmp_path_factory):
    """A finished run that kept half of the pairs."""
    folder = tmp_path_factory.mktemp("runs") / "pairs"
    said = {"level": "pair", "selector": "gradient_norm", "fraction": 0.5, "dropout": 0.0}
    experiment.run(Settings().replace(**toy_flags, **said, run_dir=str(folder)))
    return folder


def _prep(toy_flags, folder, **said):
    said = {"selector": "random", "proxy_epochs": 0, **said, "run_dir": str(folder)}
    return Preparation(Settings().replace(**toy_flags, **said).resolve())


def test_pairs_are_the_captions_in_record_order(records, pairs):
    assert len(pairs) == PAIRS and len(set(pairs.ids.tolist())) == PAIRS
    assert pairs.images.tolist() == np.repeat(np.arange(IMAGES), 5).tolist()
    assert pairs.texts[5:10] == records.captions[1]
    assert pairs.ids[5:10].tolist() == next(records.described([1])).caption_ids
    assert pairs.fingerprint != records.fingerprint


def test_captions_that_share_an_id_are_refused():
    class Twins:
        split, fingerprint, caption_ids = "train", "f" * 64, [[1, 2], [2]]

    with pytest.raises(InputError, match="the id 2 on 2 captions"):
        Pairs(Twins())


def test_a_batch_of_pairs_holds_each_caption_with_its_image(toy_flags, tmp_path, pairs):
    prep = _prep(toy_flags, tmp_path / "run", level="pair")
    captions = prep.captions["train"]
    positions = np.array([0, 4, 5, 239, 7])
    batches = list(SequentialBatches(prep.inputs("train"), positions, 2, SingleCaptions(captions)))
    assert [batch["weights"].tolist() for batch in batches] == [[[1], [1]], [[1], [1]], [[1], [0]]]
    for batch, block in zip(batches, ([0, 4], [5, 239], [7, 7]), strict=True):
        length = batch["tokens"].shape[-1]
        np.testing.assert_array_equal(batch["tokens"][:, 0], captions.tokens[block, :length])
        assert not captions.tokens[block, length:].any()
        alone = list(prep.inputs("train").stream([pairs.images[block]]))[0][1]
        np.testing.assert_array_equal(batch["images"], alone)


def test_captions_left_out_are_never_drawn(toy_flags, tmp_path):
    captions = _prep(toy_flags, tmp_path / "run").captions["train"]
    kept = np.random.default_rng(0).random(PAIRS) < 0.3
    fewer = captions.only(kept)
    counts = kept.reshape(IMAGES, 5).sum(axis=1)
    assert np.diff(fewer.start).tolist() == counts.tolist() and fewer.most == counts.max()
    positions = np.flatnonzero(counts)
    drawn = [fewer.draw(np.arange(IMAGES), positions, seed=1, epoch=epoch) for epoch in range(40)]
    for row, position in enumerate(positions):
        wanted = captions.tokens[5 * position : 5 * position + 5][kept[5 * position : 5 * position + 5]]
        assert {tuple(draws[row]) for draws in drawn} == {tuple(tokens) for tokens in wanted}


def test_the_mean_of_an_image_s_pairs_is_the_image_s_loss_and_no_norm_is_above_it(toy_flags, tmp_path):
    by_pair, by_image = (_prep(toy_flags, tmp_path / level, level=level) for level in ("pair", "image"))
    assert isinstance(by_image.captions["train"], Captions)
    means = scores_of(by_pair, "loss").reshape(IMAGES, 5).mean(axis=1)
    np.testing.assert_allclose(means, scores_of(by_image, "loss"), rtol=1e-5)
    norms = scores_of(by_pair, "gradient_norm").reshape(IMAGES, 5)
    assert (scores_of(by_image, "gradient_norm") <= norms.mean(axis=1) * (1 + 1e-5)).all()
    assert np.ptp(norms, axis=1).min() > 0
    consensus = scores_of(by_pair, "caption_consensus").reshape(IMAGES, 5)
    np.testing.assert_allclose(consensus.mean(axis=1), scores_of(by_image, "caption_consensus"), rtol=1e-5)


def test_half_of_the_pairs_are_kept_and_said(run, pairs):
    mask = Mask.load(run / "masks", "gradient_norm-0.5", pairs)
    scores = np.load(run / "scores" / "gradient_norm.npy")
    assert scores.shape == (PAIRS,) and len(mask.ids) == 120 and mask.about["level"] == "pair"
    assert scores[mask.mask].min() >= scores[~mask.mask].max()
    metrics = read_json(run / "metrics.json")
    assert (metrics["level"], metrics["examples_total"], metrics["examples_kept"]) == ("pair", PAIRS, 120)
    about = read_json(run / "scores" / "gradient_norm.json")
    assert (about["level"], about["fingerprint"]) == ("pair", pairs.fingerprint)


def test_masks_of_pairs_reach_other_tools(run, pairs, tmp_path, capsys):
    argv = [f"--scores={run}", f"--out={tmp_path}", "--selector=gradient_norm", "--fractions=0.5"]
    select.main(["select", *argv, "--formats=text,coco"])
    assert capsys.readouterr().out.splitlines()[0].split() == ["fraction", "pairs", "files"]
    ours = Mask.load(run / "masks", "gradient_norm-0.5", pairs)
    np.testing.assert_array_equal(Mask.load(tmp_path, "gradient_norm-0.5", pairs).ids, ours.ids)
    coco = COCO(str(tmp_path / "gradient_norm-0.5.coco.json"))
    assert sorted(coco.anns) == sorted(ours.ids.tolist())
    text = dict(zip(pairs.ids.tolist(), pairs.texts, strict=True))
    assert all(annotation["caption"] == text[number] for number, annotation in coco.anns.items())
    assert len(coco.imgs) == len(np.unique(pairs.images[ours.positions]))


def test_the_figure_of_pairs(run, capsys):
    inspect.main(["inspect", str(run)])
    assert "gradient_norm [nats per token per unit of parameter]: 240 pairs" in capsys.readouterr().out
    assert (run / "scores.png").stat().st_size > 10_000
