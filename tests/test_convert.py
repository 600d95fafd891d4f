"""A pretrained pair of ViT and GPT-2, trained by parts and written back as a folder."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file

from tests.models import toy_vit
from tests.toy_checkpoints import MAX_TOKENS, write_pair
from tfcap import experiment
from tfcap.convert import convert
from tfcap.data.subwords import SubwordTokenizer
from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.models.build import build_captioner
from tfcap.preparation import Preparation
from tfcap.settings import Settings
from tfcap.training import checkpoint
from tfcap.training.step import SummedAdamW, train_step


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"))


def _settings(toy_flags, pair, run_dir, **said):
    asked = {"model": "vit_gpt2", "checkpoint": str(pair), "augment": "none", "export": False, "dropout": 0.0, **said}
    idle = dict.fromkeys(("units", "embedding_size", "min_word_count"))
    return Settings().replace(**{**toy_flags, **idle, **asked, "run_dir": str(run_dir), "learning_rate": 1e-2})


MOVES = {"all": {"encoder", "decoder"}, "encoder": {"encoder"}, "decoder": {"decoder"}}


@pytest.mark.parametrize("train", [pytest.param("all", marks=pytest.mark.slow), "encoder", "decoder"])
def test_the_named_part_trains_and_the_others_stay_as_they_were(toy_flags, pair, tmp_path, train):
    """With the settings of the presets of S2: a frozen weight is the same to the last bit, in memory."""
    tokenizer = SubwordTokenizer.load(pair, MAX_TOKENS)
    model = build_captioner(_settings(toy_flags, pair, tmp_path, train=train).resolve(), len(tokenizer))
    parts = {"encoder": model.encoder, "decoder": model.decoder}
    before = {part: [variable.numpy() for variable in layer.weights] for part, layer in parts.items()}
    optimizer = SummedAdamW(1e-2, weight_decay=0.01)
    optimizer.build(model.trainable_variables)
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=False, strategy=tf.distribute.get_strategy())
    side, rng = toy_vit.SIDE, np.random.default_rng(0)
    batch = {
        "images": tf.constant(rng.integers(0, 256, [4, side, side, 3]).astype(np.uint8)),
        "tokens": tf.constant(tokenizer.encode(["a dog runs", "the cat", "a red ball", "two dogs"])),
        "weights": tf.ones([4]),
    }
    for number in range(3):
        step(batch, tf.constant(number))
    for part, layer in parts.items():
        same = [np.array_equal(old, new.numpy()) for old, new in zip(before[part], layer.weights, strict=True)]
        assert all(same) if part not in MOVES[train] else sum(same) < 0.1 * len(same), part


def test_what_is_written_is_the_best_captioner_and_is_read_again(toy_flags, pair, tmp_path):
    settings = _settings(toy_flags, pair, tmp_path / "run", train="all")
    experiment.run(settings)
    command = [sys.executable, "-m", "tfcap.convert", f"--run={tmp_path / 'run'}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0 and "vision-encoder-decoder" in done.stdout, done.stderr
    card = ModelCard((tmp_path / "out" / "README.md").read_text(encoding="utf-8"))
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "image-to-text")
    assert "`vision-encoder-decoder`" in card.text and str(tmp_path) not in card.text
    tokenizer = SubwordTokenizer.load(tmp_path / "out", MAX_TOKENS)
    assert tokenizer.hash == SubwordTokenizer.load(pair, MAX_TOKENS).hash
    resolved = settings.resolve()
    trained = build_captioner(resolved, len(tokenizer), marks=tokenizer.marks)
    checkpoint.restore(checkpoint.find(tmp_path / "run" / "checkpoints", checkpoint.BEST), trained)
    again = build_captioner(
        settings.replace(checkpoint=str(tmp_path / "out")).resolve(), len(tokenizer), marks=tokenizer.marks
    )
    for ours, theirs in zip(again.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    assert again.encoder.weights_hash() == trained.encoder.weights_hash()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--run=nowhere"], "nowhere"),
        ([], "--run is missing"),
    ],
)
def test_mistakes_are_one_line(changes, words, tmp_path):
    command = [sys.executable, "-m", "tfcap.convert", *changes, f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_checkpoint_that_a_run_began_with_is_not_written_over(toy_flags, pair, tmp_path):
    experiment.run(_settings(toy_flags, pair, tmp_path / "run", train="decoder"))
    before = (pair / "model.safetensors").read_bytes()
    command = [sys.executable, "-m", "tfcap.convert", f"--run={tmp_path / 'run'}", f"--out={pair}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2 and "still needs the --checkpoint" in done.stderr
    assert (pair / "model.safetensors").read_bytes() == before
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(InputError, match="The run is not finished.*metrics.json"):
        convert(tmp_path / "run", tmp_path / "out")


def test_a_checkpoint_that_was_rewritten_is_noticed_and_a_run_from_before_that_was_said_goes_on(
    toy_flags, pair, tmp_path
):
    folder, run = shutil.copytree(pair, tmp_path / "pair"), tmp_path / "run"
    settings = _settings(toy_flags, folder, run, train="decoder", selector="loss", proxy_epochs=0)
    experiment.run(settings)
    about = read_json(run / "experiment.json")
    scores = read_json(run / "scores" / "loss.json")
    assert about["contents"].keys() == {"checkpoint", "encoder_weights"} and scores["contents"] == about["contents"]

    tensors = load_file(folder / "model.safetensors")
    save_file({name: value * np.float32(1.01) for name, value in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(InputError, match="--checkpoint names has other content than when the run .*--noresume"):
        experiment.run(settings)
    with pytest.raises(InputError, match="--checkpoint names has other content than when the run .* began"):
        convert(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()

    del about["contents"]
    write_json(run / "experiment.json", about)
    (run / "metrics.json").unlink()
    experiment.run(settings)
    assert (run / "metrics.json").exists()


def test_a_folder_that_is_rewritten_while_a_run_trains_is_not_exported(toy_flags, pair, tmp_path):
    folder = shutil.copytree(pair, tmp_path / "pair")
    prep = Preparation(_settings(toy_flags, folder, tmp_path / "run", train="encoder").resolve())
    prep.check_contents()
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.1, 0.1]}', encoding="utf-8")
    with pytest.raises(InputError, match="--checkpoint names has other content than when this command began"):
        prep.check_contents()


def test_a_run_with_words_of_its_own_has_no_tokenizer_to_write(finished_run, tmp_path):
    command = [sys.executable, "-m", "tfcap.convert", f"--run={finished_run}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2 and "words of its own" in done.stderr
