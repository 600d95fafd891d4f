"""Penn Treebank tokens: what both tokenizers must give, and how closely the regular expressions follow Java."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from tfcap.errors import InputError
from tfcap.evaluation import tokenizer
from tfcap.evaluation.tokenizer import java_available, tokenize

needs_java = pytest.mark.skipif(not java_available(), reason="no Java runtime")
# Every expected string was given by Stanford's PTBTokenizer 3.4.1 and pycocoevalcap's punctuation filter.
CAPTIONS = {
    "A man riding a horse.": "a man riding a horse",
    "The dog's toys, dogs' toys; it's mine!": "the dog 's toys dogs toys it 's mine",
    "You cannot see it, but he's gonna.": "you can not see it but he 's gon na",
    "They don't, won’t and can't": "they do n't wo n't and ca n't",
    'A "stop" sign (red) [old] {new}': "a stop sign -lrb- red -rrb- -lsb- old -rsb- -lcb- new -rcb-",
    "A black-and-white cat -- on a mid-air x-ray's table...": "a black-and-white cat on a mid-air x-ray 's table",
    "It costs $5.00 or £3 or 50% off": "it costs $ 5.00 or # 3 or 50 % off",
    "Clock at 10:30am, 3/4 full; 3 1/2 in.": "clock at 10:30 am 3/4 full 3\u00a01/2 in",
    "A T.V. on St. James Ave. in the U.S.": "a t.v. on st. james ave. in the u.s.",
    "Mr. A. Smith, Jr. at 5 p.m. by No. 5": "mr. a. smith jr. at 5 p.m. by no. 5",
    "Vitamin K. A man": "vitamin k a man",
    "black/white AT&T a&b C++ #tag @you": "black/white at&t a & b c++ #tag @you",
    "“Smart” quotes – dash — and… café naïve": "smart quotes dash and café naïve",
    "one,two three.Four five ;six 1,000": "one two three.four five six 1,000",
    "hello!! what?! really?": "hello !! what ?! really",
    "rock 'n' roll at 5 o'clock in the '90s": "rock 'n' roll at 5 o'clock in the '90s",
    "½ cup, 5°, 😀 :) <unk>": "1/2 cup 5 ° :-rrb- <unk>",
    "www.site.com or a.b@c.org or http://x.y/z.": "www.site.com or a.b@c.org or http://x.y/z",
    "": "",
    " \t\n ": "",
    "...": "",
    "two\nlines\r\nand\u2028more": "two lines and more",
}


@pytest.mark.parametrize("java", ["never", pytest.param("require", marks=needs_java)])
def test_tokens_are_those_of_the_coco_evaluation(java):
    # A caption a mapping: Java looks into the next line to see whether a sentence ends.
    tokens, _ = tokenize({caption: [caption, "x"] for caption in CAPTIONS}, java)
    assert {caption: first for caption, (first, _) in tokens.items()} == CAPTIONS


@pytest.mark.parametrize("java", ["never", pytest.param("require", marks=needs_java)])
def test_keys_and_counts_are_kept(java):
    captions = {7: ["a\nb", "", "c"], "x": [], 3: ["", "\n"], 1: ["d."]}
    tokens, name = tokenize(captions, java)
    assert tokens == {7: ["a b", "", "c"], "x": [], 3: ["", ""], 1: ["d."]}
    assert name == ("ptb-regex" if java == "never" else "ptb-java")
    assert tokenize({}, java)[0] == {}


@pytest.mark.parametrize("java", ["never", pytest.param("require", marks=needs_java)])
def test_unpaired_surrogates_do_not_fail(java):
    assert tokenize({1: ["a \ud800 b"], 2: ["c"]}, java)[0][2] == ["c"]


def test_a_last_initial_is_read_with_the_next_caption_as_java_does():
    assert tokenize({1: ["Vitamin K.", "A man"]}, "never")[0][1][0] == "vitamin k"
    assert tokenize({1: ["Vitamin K.", "Two men"]}, "never")[0][1][0] == "vitamin k."


def test_long_words_take_linear_time():
    for text in ("a" * 20_000, "a-" * 10_000, "a." * 10_000, "'" * 20_000, "<a " * 5_000, "1," * 10_000):
        assert tokenize({1: [text], 2: ["A cat."]}, "never")[0][2] == ["a cat"]


def test_java_is_one_of_three_words():
    with pytest.raises(InputError, match="auto, never, require"):
        tokenize({1: ["a"]}, "yes")


def test_without_java_auto_falls_back_and_require_raises(monkeypatch):
    monkeypatch.setattr(tokenizer, "java_available", lambda: False)
    assert tokenize({1: ["A cat."]}, "auto") == ({1: ["a cat"]}, "ptb-regex")
    with pytest.raises(InputError, match="Java is required"):
        tokenize({1: ["A cat."]}, "require")


def test_java_is_absent_where_it_cannot_run(monkeypatch):
    def absent(*_args, **_keywords):
        raise FileNotFoundError("java")

    monkeypatch.setattr(subprocess, "run", absent)
    assert not java_available.__wrapped__()


@needs_java
def test_java_lines_that_went_missing_are_a_fault(monkeypatch):
    done = subprocess.CompletedProcess([], 0, stdout=b"a\n", stderr=b"")
    monkeypatch.setattr(tokenizer, "java_available", lambda: True)
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_keywords: done)
    with pytest.raises(RuntimeError, match="1 lines for 2 captions"):
        tokenize({1: ["a", "b"]}, "require")


@pytest.mark.parametrize("name", ["coco_fakecap_126", "coco_val2017_human_loo", "flickr8k_test_human_loo"])
def test_regular_expressions_agree_with_java_on_published_captions(shared_data: Path, name):
    reference = json.loads((shared_data / "metrics_reference" / f"{name}.json").read_text(encoding="utf-8"))
    ours, _ = tokenize(reference["refs"], "never")
    pairs = [
        (a, b) for key, captions in ours.items() for a, b in zip(captions, reference["refs_ptb"][key], strict=True)
    ]
    assert sum(a == b for a, b in pairs) / len(pairs) >= 0.9999


@needs_java
def test_regular_expressions_agree_with_java_on_damaged_captions():
    """One odd character anywhere in a caption: stricter than what people or captioners write."""
    rng = random.Random(0)
    odd = "'\",.-/&;:()!?0123456789$#%éx "
    captions = []
    for _ in range(4000):
        caption = rng.choice([text for text in CAPTIONS if text.isascii() and "\n" not in text and len(text) > 9])
        place = rng.randrange(len(caption))
        captions.append(caption[:place] + rng.choice(odd) + caption[place + rng.randint(0, 1) :])
    (java,), (ours,) = (tokenize({0: captions}, mode)[0].values() for mode in ("require", "never"))
    differing = [pair for pair in zip(captions, java, ours, strict=True) if pair[1] != pair[2]]
    assert len(differing) <= 0.02 * len(captions), differing[:10]


@needs_java
def test_java_tokens_are_those_of_pycocoevalcap(tmp_path, monkeypatch, capfd):
    ptbtokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    # Its class writes beside its jar; a linked jar in a folder of our own leaves the package alone.
    jar = tokenizer.jar("tokenizer/stanford-corenlp-3.4.1.jar")
    assert jar is not None
    (tmp_path / jar.name).symlink_to(jar)
    monkeypatch.setattr(ptbtokenizer, "__file__", str(tmp_path / "ptbtokenizer.py"))
    captions = {
        row: [caption, "A dog."] for row, caption in enumerate(CAPTIONS) if caption == " ".join(caption.split())
    }
    theirs = ptbtokenizer.PTBTokenizer().tokenize({k: [{"caption": c} for c in v] for k, v in captions.items()})
    capfd.readouterr()
    assert tokenize(captions, "require")[0] == theirs
    assert capfd.readouterr() == ("", "")
