"""GIT and its captions against PyTorch on the same weights, token for token."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from tests.models.toy_clip import SIDE
from tests.models.toy_git import TOY, VISION, VOCABULARY
from tests.parity.sequences import common_word, padded, with_noise
from tfcap.data.text import PAD
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.generation import Decoding, generate
from tfcap.models.git import GITShape
from tfcap.models.git_captioner import GITCaptioner
from tfcap.models.git_checkpoint import GITVisionShape, GITVit, load_git, rows_of
from tfcap.models.weight_table import tensors_of

pytestmark = pytest.mark.parity

B, BEGIN, NEW = 6, TOY["bos_token_id"], 16
IMAGES = np.random.default_rng(0).integers(0, 256, [B, SIDE, SIDE, 3]).astype(np.uint8)


def _pixels(encoder) -> torch.Tensor:
    return torch.tensor(np.asarray(encoder.preprocess(IMAGES)).transpose(0, 3, 1, 2))


def _full(model, tokens: np.ndarray, pixels: torch.Tensor) -> np.ndarray:
    """Logits [B, T, V] of the words by one pass, in which nothing is cached."""
    with torch.no_grad():
        return model(torch.tensor(tokens), pixel_values=pixels, use_cache=False).logits[:, -tokens.shape[1] :].numpy()


def _with_ends(model, pixels: torch.Tensor) -> None:
    """Makes the end of captions a word that they reach at many places."""
    tokens = np.full([B, 1], BEGIN)
    for _ in range(NEW):
        tokens = np.concatenate([tokens, _full(model, tokens, pixels)[:, -1:].argmax(-1)], axis=1)
    model.config.eos_token_id = common_word(tokens[:, 1:], VOCABULARY, lowest=3)


@pytest.fixture(scope="module", params=[0, 1], ids=["seed 0", "seed 1"])
def both(request, tmp_path_factory):
    """The same weights as a model of PyTorch and as ours, and the images' pixels."""
    folder = tmp_path_factory.mktemp("git")
    torch.manual_seed(request.param)
    theirs = with_noise(transformers.GitForCausalLM(transformers.GitConfig(**TOY, vision_config=VISION)))
    theirs.save_pretrained(folder)
    encoder = GITVit(str(folder), SIDE, regions=True)
    _with_ends(theirs, _pixels(encoder))
    theirs.save_pretrained(folder)
    return theirs, (encoder, load_git(Checkpoint(folder, "toy"))), _pixels(encoder)


def _theirs(both, new_tokens: int, prompt: np.ndarray | None = None, **options) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens [B, P + new_tokens] with PAD after the end, and the scores of beams."""
    model, _, pixels = both
    ids = torch.tensor(np.full([B, 1], BEGIN) if prompt is None else prompt)
    found = model.generate(
        ids,
        pixel_values=pixels,
        attention_mask=torch.ones_like(ids),
        eos_token_id=model.config.eos_token_id,
        pad_token_id=0,
        do_sample=False,
        max_new_tokens=new_tokens,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    tokens = padded(found.sequences, ids.shape[1], model.config.eos_token_id, ids.shape[1] + new_tokens)
    return tokens, getattr(found, "sequences_scores", None)


def _ours(both, new_tokens: int, prompt: np.ndarray | None = None, xla: bool = False, **options):
    _, (encoder, decoder), _ = both
    prompt = np.full([B, 1], BEGIN) if prompt is None else prompt

    @tf.function(jit_compile=xla)
    def run(features, prompt):
        state = decoder.start(features, prompt.shape[1] + new_tokens)
        if prompt.shape[1] > 1:
            _, state = decoder.extend(prompt[:, :-1], state)
        return generate(state, decoder.step, prompt, decoder.marks, new_tokens, Decoding(**options))

    tokens, scores = run(encoder(encoder.preprocess(IMAGES)), tf.constant(prompt, tf.int32))
    return tokens.numpy(), scores.numpy()


def test_features_and_logits_are_those_of_pytorch_with_and_without_the_cache(both):
    theirs, (encoder, decoder), pixels = both
    features = encoder(encoder.preprocess(IMAGES))
    with torch.no_grad():
        expected = theirs.git.image_encoder(pixels).last_hidden_state
    np.testing.assert_allclose(features, expected, atol=1e-4)
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, [B, 20])
    expected = _full(theirs, tokens, pixels)
    words = decoder.words(tf.constant(tokens, tf.int32))
    np.testing.assert_allclose(decoder.logits(decoder(decoder.image_tokens(features), words)), expected, atol=1e-4)
    hidden, state = decoder.extend(tf.constant(tokens[:, :7], tf.int32), decoder.start(features, 20))
    np.testing.assert_allclose(decoder.logits(hidden), expected[:, :7], atol=1e-4)
    for t in range(7, 20):
        logits, state = decoder.step(tf.constant(tokens[:, t], tf.int32), state)
        np.testing.assert_allclose(logits, expected[:, t], atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 1.0  # images of one feature would agree with anything


def test_writing_the_weights_back_gives_the_checkpoint(both):
    theirs, (encoder, decoder), _ = both
    written = tensors_of(rows_of(encoder.vision, decoder))
    expected = {name: value.numpy() for name, value in theirs.state_dict().items()}
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(written[name], value, err_msg=name)


def test_captions_are_several_and_end_at_several_lengths(both):
    """Otherwise the tests below would say little about images and ends."""
    tokens, _ = _theirs(both, NEW)
    assert len({tuple(row) for row in tokens}) > 2
    assert len({int((row != PAD).sum()) for row in tokens}) > 2


@pytest.mark.parametrize("no_repeat", [0, 2])
def test_greedy_captions_are_those_of_generate(both, no_repeat):
    expected, _ = _theirs(both, NEW, no_repeat_ngram_size=no_repeat)
    tokens, _ = _ours(both, NEW, no_repeat_ngram=no_repeat)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize(("penalty", "early"), [(1.0, False), (0.6, True)])
def test_beams_are_those_of_generate(both, penalty, early):
    expected, scores = _theirs(both, NEW, num_beams=3, length_penalty=penalty, early_stopping=early)
    tokens, found = _ours(both, NEW, beams=3, length_penalty=penalty, early_stopping=early)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_allclose(found, scores, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_words_after_a_prompt_are_those_of_generate(both, beams):
    """As a question's, which the answer follows."""
    prompt = np.random.default_rng(2).integers(3, VOCABULARY, [B, 4])
    prompt[:, 0] = BEGIN
    expected, _ = _theirs(both, 12, prompt, num_beams=beams)
    tokens, _ = _ours(both, 12, prompt, beams=beams)
    np.testing.assert_array_equal(tokens, expected)


def test_the_captioner_s_beams_under_xla_are_those_of_generate(both):
    _, (encoder, decoder), _ = both
    expected, _ = _theirs(both, NEW - 1, num_beams=3)
    model = GITCaptioner(encoder, decoder, NEW)
    run = tf.function(lambda features: model.generate(features, NEW, Decoding(beams=3)), jit_compile=True)
    tokens, _ = run(model.encode(tf.constant(IMAGES)))
    np.testing.assert_array_equal(tokens, expected)


# The image towers of microsoft/git-base and git-large, which differ in nothing else.
TOWERS = {"base": (GITVisionShape(), 177), "large": (GITVisionShape(1024, 4096, 24, 16, patch_size=14), 394)}


@pytest.mark.parametrize(("tower", "millions"), TOWERS.values(), ids=TOWERS)
def test_the_published_shapes_have_the_published_number_of_weights(tower, millions):
    config = transformers.GitConfig(**dataclasses.asdict(GITShape()), vision_config=dataclasses.asdict(tower))
    with torch.device("meta"):
        model = transformers.GitForCausalLM(config)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6) == millions
