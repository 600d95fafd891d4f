"""Pretrained tokenizers of every kind against transformers' own, and their decoding in a graph."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import transformers

from tests.data.toy_subwords import FORMS, bert, configured, git, gpt2, llama3
from tfcap.data.subword_files import read_subwords
from tfcap.data.subword_pieces import bytes_of_pieces
from tfcap.data.subwords import SubwordTokenizer, tokenizer_in
from tfcap.data.text import PAD, Marks, WordTokenizer
from tfcap.errors import InputError

T = 24
CAPTIONS = [
    "a dog runs on the grass",
    "The cat's ball isn't red, is it? No!  They're two   dogs .",
    "Élan naïve, 日本語 и собака",
    "an emoji 🎉👩‍👩‍👧 here",
    "",
    " ",
    "\ttab and\nline \x00 end ",
    "the red ball " * 170,
]
LEGACY = {
    "gpt2": transformers.GPT2Tokenizer,
    "clip": transformers.CLIPTokenizer,
    "bert": transformers.BertTokenizer,
}
MARKS = {  # begin and end by name
    "gpt2": ("<|endoftext|>", "<|endoftext|>"),
    "llama3": ("<|begin_of_text|>", "<|end_of_text|>"),
    "clip": ("<|startoftext|>", "<|endoftext|>"),
    "bert": ("[CLS]", "[SEP]"),
    "git": ("[CLS]", "[SEP]"),
    "gemma": ("<bos>", "<eos>"),
    "llama2": ("<bos>", "<eos>"),
}


def _theirs(name, folder):
    return LEGACY.get(name, transformers.AutoTokenizer).from_pretrained(str(folder), local_files_only=True)


@pytest.fixture(scope="module", params=FORMS)
def both(request, tmp_path_factory):
    """The form's name, our tokenizer, and transformers' of the same folder."""
    folder = FORMS[request.param](tmp_path_factory.mktemp(request.param))
    return request.param, SubwordTokenizer.load(folder, T), _theirs(request.param, folder)


def _random_ids(tokenizer, rows, length=T, seed=0):
    return np.random.default_rng(seed).integers(0, len(tokenizer), [rows, length]).astype(np.int32)


def _in_graph(tokenizer, rows):
    return [text.decode() for text in tf.function(tokenizer.decode_in_graph)(tf.constant(rows)).numpy()]


def test_marks_are_those_of_the_files(both):
    name, ours, theirs = both
    begin, end = (theirs.convert_tokens_to_ids(token) for token in MARKS[name])
    assert (ours.marks.begin, ours.marks.end) == (begin, end)
    assert set(ours.marks.never) == set(theirs.all_special_ids) - {end} | ({begin} - {end}) | _unnamed(name, theirs)
    assert len(ours) == len(theirs)


def _unnamed(name, theirs):
    """Special tokens of the vocabulary that no file gives a role."""
    return {
        theirs.convert_tokens_to_ids(token) for token in {"llama3": ["<|reserved|>"], "llama2": ["<pad>"]}.get(name, [])
    }


def test_ids_are_those_of_transformers_between_begin_and_end(both):
    _, ours, theirs = both
    tokens = ours.encode(CAPTIONS)
    assert tokens.dtype == np.int32 and tokens.shape == (len(CAPTIONS), T)
    for row, caption in zip(tokens, CAPTIONS, strict=True):
        ids = theirs(caption, add_special_tokens=False)["input_ids"][: T - 2]
        fill = [PAD] * (T - 2 - len(ids))
        unknown = {theirs.unk_token_id} & {ours.marks.begin, ours.marks.end}
        assert not unknown & set(ids)  # else ours would leave it out
        assert row.tolist() == [ours.marks.begin, *ids, ours.marks.end, *fill]
    assert tokens[-1, -1] == ours.marks.end and (tokens[-1, 1:-1] != ours.marks.end).all()
    assert ours.encode([]).shape == (0, T)


def test_texts_are_those_of_transformers(both):
    _, ours, theirs = both
    long = SubwordTokenizer(ours._files, 200)
    tokens = long.encode(CAPTIONS)
    said = [theirs.decode(row[row != PAD], skip_special_tokens=True) for row in tokens]
    assert long.decode(tokens) == [text.strip(" \t\n\v\f\r") for text in said]
    assert long.decode(tokens)[0] == CAPTIONS[0]


def test_random_pieces_make_the_text_of_transformers(both):
    name, ours, theirs = both
    ids = _random_ids(ours, 100)
    letter = ours.encode(["a"])[0, 1]
    ids[ids == ours.marks.end] = letter
    ids[:, :2] = ours.marks.begin, letter  # theirs leaves the ## of WordPiece where nothing is before it
    if name in ("gemma", "llama2"):  # theirs has a U+FFFD for each byte
        pieces = np.array([piece.startswith("<0x") for piece in theirs.convert_ids_to_tokens(range(len(ours)))])
        ids[pieces[ids]] = letter
    said = [theirs.decode(row, skip_special_tokens=True).strip() for row in ids]
    assert [text.strip() for text in ours.decode(ids)] == said


def test_decoding_in_a_graph_equals_decoding_in_python_on_any_ids(both):
    _, ours, _ = both
    ids = np.concatenate([_random_ids(ours, 300), ours.encode(CAPTIONS)])
    ids[::3, 0] = ours.marks.begin
    ids[1::5, 7] = ours.marks.end
    ids[2::5, 9:11] = PAD, len(ours) + 3
    texts = ours.decode(ids)
    assert _in_graph(ours, ids) == texts
    assert [text.decode() for text in ours.decode_in_graph(tf.constant(ids[:9])).numpy()] == texts[:9]
    assert _in_graph(ours, ids[:, :1]) == ours.decode(ids[:, :1])


@pytest.mark.parametrize("form", ["gpt2", "clip", "gemma"])
def test_bytes_that_are_no_letters_are_replaced_alike(form, tmp_path):
    ours = SubwordTokenizer.load(FORMS[form](tmp_path), T)
    of_byte = {piece: index for index, piece in enumerate(ours._pieces) if len(piece) == 1}
    broken = [
        b"\xf0\x9f\x8e",
        b"\xe2\x82a",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xff",
        b"\xf0\x9f\x8e\x89",
        b"a\x00",
        b"\xef\xbb\xbfa",
    ]
    rng = np.random.default_rng(0)
    broken += [bytes(row) for row in rng.integers(120, 256, [300, 8]).tolist()]
    rows = np.full([len(broken), 10], ours.marks.end, np.int32)
    for row, text in zip(rows, broken, strict=True):
        row[0] = ours.marks.begin
        row[1 : len(text) + 1] = [of_byte[bytes([byte])] for byte in text]
    texts = [text.decode("utf-8", "replace").strip(" \t\n\v\f\r") for text in broken]
    assert texts[:2] == ["\ufffd", "\ufffda"]
    assert ours.decode(rows) == texts and _in_graph(ours, rows) == texts


def test_begin_and_end_may_be_one_mark(tmp_path):
    ours = SubwordTokenizer.load(gpt2(tmp_path), 8)
    a, end = ours.encode(["a"])[0, 1:3]
    rows = np.array([[end, a, end, a], [end, end, a, a], [a, end, a, a], [end, a, PAD, a]], np.int32)
    assert ours.decode(rows) == ["a", "", "a", "aa"] and _in_graph(ours, rows) == ["a", "", "a", "aa"]


def test_a_mark_that_a_caption_spells_out_is_text(both):
    _, ours, _ = both
    tokens = ours.encode([f"a {name} a" for name in MARKS[both[0]]])
    for row in tokens:
        assert row[0] == ours.marks.begin
        (ends,) = np.nonzero(row[1:] == ours.marks.end)
        assert len(ends) == 1 and (row[ends[0] + 2 :] == PAD).all()
        assert ours.marks.begin == ours.marks.end or (row[1:] != ours.marks.begin).all()


def test_spaces_before_punctuation_go_where_the_folder_says_so(tmp_path):
    caption = "the cat's red, is it? no ' a ' b"
    (tmp_path / "bert").mkdir(), (tmp_path / "git").mkdir()
    plain, cleaned = (
        SubwordTokenizer.load(bert(tmp_path / "bert"), 40),
        SubwordTokenizer.load(git(tmp_path / "git"), 40),
    )
    assert plain.decode(plain.encode([caption])) == ["the cat ' s red, is it? no ' a ' b"]
    assert cleaned.decode(cleaned.encode([caption])) == ["the cat's red, is it? no'a'b"]
    assert _in_graph(cleaned, cleaned.encode([caption])) == ["the cat's red, is it? no'a'b"]


def test_clean_up_is_never_of_byte_pairs(tmp_path):
    ours = SubwordTokenizer.load(configured(gpt2(tmp_path), clean_up_tokenization_spaces=True), T)
    assert ours.decode(ours.encode(["a dog ."])) == ["a dog ."]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_saved_is_the_same_tokenizer_and_transformers_reads_it(form, tmp_path):
    (tmp_path / "from").mkdir()
    ours = SubwordTokenizer.load(FORMS[form](tmp_path / "from"), T)
    ours.save(tmp_path / "saved")
    again = SubwordTokenizer.load(tmp_path / "saved", T)
    again.save(tmp_path / "saved")  # over what it was read from
    again = SubwordTokenizer.load(tmp_path / "saved", T)
    assert (again.hash, again.marks, len(again)) == (ours.hash, ours.marks, len(ours))
    np.testing.assert_array_equal(again.encode(CAPTIONS), ours.encode(CAPTIONS))
    ids = _random_ids(ours, 50)
    assert again.decode(ids) == ours.decode(ids)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(str(tmp_path / "saved"))
    ids = theirs(CAPTIONS[0], add_special_tokens=False)["input_ids"]
    assert ours.encode(CAPTIONS[:1])[0, 1 : len(ids) + 1].tolist() == ids
    assert (theirs.bos_token_id, theirs.eos_token_id) == (ours.marks.begin, ours.marks.end)


def test_the_hash_is_of_the_vocabulary_the_marks_and_the_length(tmp_path):
    folder = llama3(tmp_path)
    ours = SubwordTokenizer.load(folder, T)
    hashes = {ours.hash, SubwordTokenizer.load(folder, T + 1).hash}
    hashes.add(SubwordTokenizer.load(configured(folder, eos_token="<|reserved|>"), T).hash)
    form = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del form["model"]["merges"][-1]
    (folder / "tokenizer.json").write_text(json.dumps(form), encoding="utf-8")
    hashes.add(SubwordTokenizer.load(folder, T).hash)
    assert len(hashes) == 4


def test_a_saved_model_decodes_alone(tmp_path):
    (tmp_path / "git").mkdir()
    ours = SubwordTokenizer.load(git(tmp_path / "git"), T)
    module = tf.Module()
    module.decode = tf.function(ours.decode_in_graph, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    ids = _random_ids(ours, 20)
    found = tf.saved_model.load(str(tmp_path / "saved")).decode(tf.constant(ids)).numpy()
    assert [text.decode() for text in found] == ours.decode(ids)


def test_a_run_keeps_either_tokenizer_under_its_own_name(tmp_path):
    (tmp_path / "hub").mkdir()
    words, subwords = WordTokenizer.fit(["a b"], 1, T), SubwordTokenizer.load(bert(tmp_path / "hub"), T)
    for name, tokenizer in {"words": words, "subwords": subwords}.items():
        (tmp_path / name).mkdir()
        tokenizer.save(tmp_path / name / tokenizer.saved_as)
        again = tokenizer_in(tmp_path / name, T)
        assert type(again) is type(tokenizer) and again.hash == tokenizer.hash and again.marks == tokenizer.marks
    assert tokenizer_in(tmp_path / "hub", T).hash == subwords.hash
    assert words.marks == Marks() and words.encode(["a"])[0, :4].tolist() == [Marks.begin, 4, Marks.end, PAD]


@pytest.mark.parametrize(
    "config",
    [
        {"bos_token_id": 0, "eos_token_id": 1},
        {"eos_token_id": [1, 2], "text_config": {"bos_token_id": 0, "eos_token_id": 7}},
        {"decoder": {"bos_token_id": 0, "eos_token_id": 1}},
    ],
)
def test_config_json_gives_marks_that_no_other_file_names(tmp_path, config):
    folder = llama3(tmp_path)
    (folder / "tokenizer_config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    marks = SubwordTokenizer.load(folder, T).marks
    assert (marks.begin, marks.end) == (config.get("bos_token_id", 0), 1)
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<|reserved|>", "bos_token": null}')
    assert SubwordTokenizer.load(folder, T).marks.end == 2


@pytest.mark.parametrize(
    ("form", "changes", "words"),
    [
        ("gpt2", {"merges.txt": None}, "has no tokenizer.*tokenizer.json.*save_pretrained"),
        ("bert", {"vocab.txt": None}, "has no tokenizer"),
        ("gpt2", {"vocab.json": "{"}, "cannot be read.*vocab.json and merges.txt"),
        ("gpt2", {"merges.txt": "#version: 0.2\nno such\n"}, "cannot be read"),
        ("gpt2", {"added_tokens.json": '{"more": 999}'}, "beside its vocabulary.*'more'"),
        ("gemma", {"tokenizer.json": "{}"}, "cannot be read.*tokenizer.json"),
        ("gemma", {"tokenizer.json": "[1"}, "cannot be read.*tokenizer.json"),
        ("gemma", {"tokenizer_config.json": "{}"}, "no mark for the end.*eos_token"),
        ("gemma", {"tokenizer_config.json": '{"eos_token": "</s>"}'}, "lacks a token.*'</s>'"),
        ("gemma", {"tokenizer_config.json": "[]"}, "is damaged.*list.*JSON object"),
        ("gemma", {"tokenizer_config.json": "{"}, "is not valid JSON"),
        ("bert", {"vocab.txt": "[CLS]\n[SEP]\na\n"}, "lacks a token.*[UNK]"),
        ("bert", {"vocab.txt": b"\xff\xfe"}, "cannot be read.*vocab.txt"),
        ("bert", {"vocab.txt": ""}, "no mark for the end"),
    ],
)
def test_missing_and_damaged_files_are_one_line(tmp_path, form, changes, words):
    folder = FORMS[form](tmp_path)
    for name, content in changes.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as raised:
        tokenizer_in(folder, T)
    assert "\n" not in str(raised.value)


def test_a_decoder_of_another_kind_is_an_error(tmp_path):
    form = read_subwords(gpt2(tmp_path)).form
    for decoder in (None, {"type": "CTC"}, {"type": "Replace", "pattern": {"Regex": "a"}, "content": " "}):
        with pytest.raises(InputError, match="unknown kind"):
            bytes_of_pieces({**form, "decoder": decoder})


REAL = {
    "gpt2": (("gpt2-vocab.json", "vocab.json"), ("gpt2-merges.txt", "merges.txt")),
    "clip": (("clip-vocab.json", "vocab.json"), ("clip-merges.txt", "merges.txt")),
    "bert": (("bert-base-uncased-vocab.txt", "vocab.txt"),),
}
REAL_IDS = {
    "gpt2": [50256, 64, 4590, 286, 257, 3797, 50256],
    "clip": [49406, 320, 1125, 539, 320, 2368, 49407],
    "bert": [101, 1037, 6302, 1997, 1037, 4937, 102],
}


@pytest.mark.parametrize("name", REAL)
def test_real_vocabularies(name, shared_weights, tmp_path):
    for there, here in REAL[name]:
        shutil.copy(shared_weights / "tokenizers" / there, tmp_path / here)
    ours, theirs = SubwordTokenizer.load(tmp_path, 64), _theirs(name, tmp_path)
    assert len(ours) == {"gpt2": 50257, "clip": 49408, "bert": 30522}[name]
    tokens = ours.encode(["a photo of a cat", *CAPTIONS])
    assert tokens[0, :8].tolist() == [*REAL_IDS[name], PAD]
    for row, caption in zip(tokens[1:], CAPTIONS, strict=True):
        ids = theirs(caption, add_special_tokens=False)["input_ids"][:62]
        assert row[1 : len(ids) + 1].tolist() == ids and row[len(ids) + 1] == ours.marks.end
    said = [theirs.decode(row[row >= 0], skip_special_tokens=True).strip() for row in tokens]
    assert ours.decode(tokens) == said
    ids = np.concatenate([tokens, _random_ids(ours, 200, 64)])
    assert _in_graph(ours, ids) == ours.decode(ids)
