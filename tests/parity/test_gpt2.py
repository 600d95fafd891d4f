"""GPT-2 and the decoding core against PyTorch's `generate` on the same weights, token for token."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from safetensors.numpy import save_file
from transformers.generation import (
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from tests.models.toy_gpt2 import END, TOY, VOCABULARY
from tests.parity.sequences import padded, with_noise
from tfcap.data.text import PAD
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.generation import Decoding, generate
from tfcap.models.gpt2 import GPT2, load_gpt2
from tfcap.models.weight_table import tensors_of
from tfcap.models.word_choice import within_top_p, without_repeats

pytestmark = pytest.mark.parity

B, P = 16, 4
PROMPTS = np.random.default_rng(0).integers(0, VOCABULARY - 1, [B, P])
NUCLEI = [0.05, 0.5, 0.9, 0.999]


def _random(seed: int = 0, raised: float = 3.0) -> transformers.GPT2LMHeadModel:
    """A model whose logits differ by some units, so that beams part; the end's logit is raised, so that they end.

    One of the hidden numbers is always 1, and the end's vector alone has something there.
    """
    torch.manual_seed(seed)
    model = with_noise(transformers.GPT2LMHeadModel(transformers.GPT2Config(**TOY)))
    with torch.no_grad():
        last, words = model.transformer.ln_f, model.transformer.wte.weight
        last.weight[0], last.bias[0] = 0, 1
        words[:, 0] = 0
        words[END, 0] = raised
    return model


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[transformers.GPT2LMHeadModel, GPT2]:
    folder = tmp_path_factory.mktemp("gpt2")
    theirs = _random()
    theirs.save_pretrained(folder)
    return theirs, load_gpt2(Checkpoint(folder, "toy"))


def _theirs(model, new_tokens: int, prompts: np.ndarray = PROMPTS, **more) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens [B, P + new_tokens] with PAD after the end, and the scores of beams."""
    ids = torch.tensor(prompts)
    options = {"eos_token_id": END, "pad_token_id": END, "do_sample": False, "max_new_tokens": new_tokens}
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        return_dict_in_generate=True,
        output_scores=True,
        **options,
        **more,
    )
    tokens = padded(found.sequences, prompts.shape[1], END, prompts.shape[1] + new_tokens)
    return tokens, getattr(found, "sequences_scores", None)


def _ours(
    model: GPT2, new_tokens: int, prompts: np.ndarray = PROMPTS, never: tuple[int, ...] = (), xla: bool = False, **more
) -> tuple[np.ndarray, np.ndarray]:
    marks, decoding = dataclasses.replace(model.marks, never=never), Decoding(**more)

    @tf.function(jit_compile=xla)
    def run(prompt):
        state = model.empty_state(prompt.shape[0], prompt.shape[1] + new_tokens)
        if prompt.shape[1] > 1:
            _, state = model.extend(model.words(prompt[:, :-1]), state)
        return generate(state, model.step, prompt, marks, new_tokens, decoding)

    tokens, scores = run(tf.constant(prompts, tf.int32))
    return tokens.numpy(), scores.numpy()


def test_logits_are_those_of_pytorch_with_and_without_the_cache(both):
    theirs, ours = both
    tokens = np.random.default_rng(1).integers(0, VOCABULARY, [3, 20])
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    vectors = ours.words(tf.constant(tokens, tf.int32))
    np.testing.assert_allclose(ours.logits(ours(vectors)), expected, atol=2e-5)
    hidden, state = ours.extend(vectors[:, :7], ours.empty_state(3, 20))
    np.testing.assert_allclose(ours.logits(hidden), expected[:, :7], atol=2e-5)
    for t in range(7, 20):
        logits, state = ours.step(tf.constant(tokens[:, t], tf.int32), state)
        np.testing.assert_allclose(logits, expected[:, t], atol=2e-5)


def test_writing_the_weights_back_gives_the_checkpoint(both):
    theirs, ours = both
    written = tensors_of(ours.rows())
    expected = {name: value.numpy() for name, value in theirs.state_dict().items() if name != "lm_head.weight"}
    assert written.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(written[name], value, err_msg=name)


def _lengths(tokens: np.ndarray) -> list[int]:
    """How many words each row has after its prompt; as many as there is room for where it does not end."""
    return (~np.isin(tokens[:, P:], [END, PAD])).sum(axis=1).tolist()


def test_greedy_captions_end_at_many_lengths(both):
    """Otherwise the next test would say little about ends."""
    tokens, _ = _theirs(both[0], 20)
    assert len(set(_lengths(tokens))) > 3


@pytest.mark.parametrize("no_repeat", [0, 1, 2, 3])
@pytest.mark.parametrize("new_tokens", [5, 12, 20])
def test_greedy_captions_are_those_of_generate(both, new_tokens, no_repeat):
    expected, _ = _theirs(both[0], new_tokens, no_repeat_ngram_size=no_repeat)
    tokens, _ = _ours(both[1], new_tokens, no_repeat_ngram=no_repeat)
    np.testing.assert_array_equal(tokens, expected)


EARLY = [False, True, "never"]
LENGTHS = [(20, 0), (8, 0), (12, 2), (20, 3)]  # new tokens, and the n-grams that occur once
SEARCHES = [
    (*search, *LENGTHS[index % len(LENGTHS)])
    for index, search in enumerate(itertools.product([2, 3, 5], [0.0, 1.0, 2.0]))
]


def _options(beams: int, penalty: float, no_repeat: int, early: bool | str) -> tuple[dict, dict]:
    """How a beam search is asked for, there and here."""
    alike = {"length_penalty": penalty, "early_stopping": early}
    theirs = {"num_beams": beams, "no_repeat_ngram_size": no_repeat, **alike}
    return theirs, {"beams": beams, "no_repeat_ngram": no_repeat, **alike}


@pytest.mark.parametrize(("beams", "penalty", "new_tokens", "no_repeat"), SEARCHES)
def test_beams_end_at_many_lengths_and_where_the_options_say(both, beams, penalty, new_tokens, no_repeat):
    """Otherwise the next test would say little about ends, the length penalty and early stopping."""
    found = {}
    for early in EARLY:
        found[early], _ = _theirs(both[0], new_tokens, **_options(beams, penalty, no_repeat, early)[0])
        lengths = _lengths(found[early])
        if penalty < 2 or early is True:
            assert sum(length < new_tokens - 1 for length in lengths) >= B / 2 and len(set(lengths)) > 2
    if penalty:
        assert (found[True] != found["never"]).any(axis=1).sum() >= B / 4
        others = [_theirs(both[0], new_tokens, **_options(beams, 0.0, no_repeat, early)[0])[0] for early in EARLY]
        for other, early in zip(others, EARLY, strict=True):
            assert (found[early] != other).any(axis=1).sum() >= B / 4


def test_ending_when_no_better_caption_is_likely_is_a_rule_of_its_own(both):
    """Each value of early_stopping finds captions that neither of the others finds."""
    by = [_theirs(both[0], 20, **_options(3, 2.0, 0, early)[0])[0] for early in EARLY]
    for one, other in itertools.combinations(by, 2):
        assert (one != other).any(axis=1).sum() >= B / 4


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.parametrize(("beams", "penalty", "new_tokens", "no_repeat"), SEARCHES)
def test_beams_are_those_of_generate(both, beams, penalty, new_tokens, no_repeat, early):
    theirs, ours = _options(beams, penalty, no_repeat, early)
    expected, scores = _theirs(both[0], new_tokens, **theirs)
    tokens, found = _ours(both[1], new_tokens, **ours)
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_allclose(found, scores, atol=1e-4)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("beams", [1, 3])
def test_other_weights_and_a_prompt_of_one_token(tmp_path, seed, beams):
    theirs = _random(seed)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(Checkpoint(tmp_path, "toy"))
    expected, _ = _theirs(theirs, 16, PROMPTS[:, :1], num_beams=beams)
    tokens, _ = _ours(ours, 16, prompts=PROMPTS[:, :1], beams=beams)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_search_under_xla_is_that_of_generate(both, beams):
    expected, _ = _theirs(both[0], 16, num_beams=beams, no_repeat_ngram_size=2)
    tokens, _ = _ours(both[1], 16, beams=beams, no_repeat_ngram=2, xla=True)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize("beams", [1, 3])
def test_words_that_are_never_generated_are_those_that_generate_suppresses(both, beams):
    plain, _ = _theirs(both[0], 16, num_beams=beams)
    never = tuple(int(word) for word in np.unique(plain[:, P:]) if word not in (END, PAD))[:3]
    expected, _ = _theirs(both[0], 16, num_beams=beams, suppress_tokens=list(never))
    tokens, _ = _ours(both[1], 16, never=never, beams=beams)
    np.testing.assert_array_equal(tokens, expected)
    assert not np.isin(never, tokens[:, P:]).any() and (expected != plain).any()


def _logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, [200, 50]).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("top_p", NUCLEI)
def test_the_nucleus_is_that_of_pytorch(temperature, top_p):
    scores = TemperatureLogitsWarper(temperature)(None, torch.tensor(_logits()))
    expected = TopPLogitsWarper(top_p)(None, scores)
    found = np.asarray(within_top_p(tf.constant(_logits()) / temperature, top_p))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected.numpy()))
    np.testing.assert_allclose(tf.nn.softmax(found), torch.softmax(expected, -1).numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("t", [1, 2, 3, 9, 12])
def test_the_words_forbidden_after_an_n_gram_are_those_of_pytorch(t, size):
    tokens = np.random.default_rng(t).integers(0, 3, [40, 12])
    scores = np.random.default_rng(0).normal(size=[40, 5]).astype(np.float32)
    expected = NoRepeatNGramLogitsProcessor(size)(torch.tensor(tokens[:, :t]), torch.tensor(scores)).numpy()
    found = without_repeats(tf.constant(scores), tf.constant(tokens, tf.int32), tf.constant(t), size)
    np.testing.assert_array_equal(found, expected)


def test_a_checkpoint_without_the_prefix_and_with_masks_is_read_as_well(tmp_path):
    theirs = _random()
    theirs.save_pretrained(tmp_path)
    state = theirs.transformer.state_dict()
    tensors = {name: value.numpy() for name, value in state.items()}
    tensors["h.0.attn.bias"] = np.ones([1, 1, 4, 4], np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    ours = load_gpt2(Checkpoint(tmp_path, "toy"))
    tokens = np.arange(8)[None]
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(ours.logits(ours(ours.words(tf.constant(tokens, tf.int32)))), expected, atol=2e-5)
