"""Tokenizers of a few hundred pieces in each form that Hugging Face has, trained here and written as folders."""

import json
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.models.toy_clip import write_tokenizer

TRAINED_ON = [
    "a dog runs on the grass with the red ball",
    "the cat's ball isn't red, is it?",
    "two dogs run and the cats sleep. they're tired!",
    "une école à la plage, été",
    "日本語の猫",
] * 3


def _write(folder: Path, tokenizer: Tokenizer | dict, **config: object) -> Path:
    form = tokenizer if isinstance(tokenizer, dict) else json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(form), encoding="utf-8")
    return configured(folder, tokenizer_class="PreTrainedTokenizerFast", **config)


def configured(folder: Path, **config: object) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _trained_bytes(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        TRAINED_ON, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, special_tokens=special)
    )
    return tokenizer


def gpt2(folder: Path) -> Path:
    """vocab.json and merges.txt alone; begin and end are the same."""
    _trained_bytes(["<|endoftext|>"]).model.save(str(folder))
    return folder


def llama3(folder: Path) -> Path:
    """Byte-level tokenizer.json, with special tokens that nothing names and a word that is added."""
    tokenizer = _trained_bytes(["<|begin_of_text|>", "<|end_of_text|>", "<|reserved|>"])
    tokenizer.add_tokens(["added word"])
    return _write(
        folder,
        tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token={"__type": "AddedToken", "content": "<|end_of_text|>"},
    )


def clip(folder: Path) -> Path:
    """vocab.json and merges.txt whose pieces end in </w>."""
    write_tokenizer(folder)
    return folder


def bert(folder: Path, **config: object) -> Path:
    """vocab.txt alone, or with tokenizer_config.json."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TRAINED_ON, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    tokenizer.model.save(str(folder))
    return configured(folder, **config) if config else folder


def git(folder: Path) -> Path:
    """WordPiece's tokenizer.json with a clean-up; [CLS] begins and [SEP] ends."""
    form = json.loads(Tokenizer(models.WordPiece.from_file(str(bert(folder) / "vocab.txt"))).to_str())
    (folder / "vocab.txt").unlink()
    form["normalizer"], form["pre_tokenizer"] = {"type": "Lowercase"}, {"type": "BertPreTokenizer"}
    form["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": False}
    names = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    return _write(folder, form, **names, clean_up_tokenization_spaces=True)


def gemma(folder: Path) -> Path:
    """SentencePiece's BPE: spaces are ▁, and what is not in the vocabulary is bytes."""
    special, in_bytes = ["<pad>", "<eos>", "<bos>", "<unk>"], [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(parts)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[*special, *in_bytes])
    tokenizer.train_from_iterator(TRAINED_ON[:3], trainer)
    form = json.loads(tokenizer.to_str())
    form["added_tokens"] = form["added_tokens"][: len(special)]
    return _write(folder, form, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def llama2(folder: Path) -> Path:
    """SentencePiece's BPE with a space before the text, which is stripped from decoded text; no pad."""
    form = json.loads((gemma(folder) / "tokenizer.json").read_text(encoding="utf-8"))
    parts = [{"type": "Prepend", "prepend": "▁"}, form["normalizer"]]
    form["normalizer"] = {"type": "Sequence", "normalizers": parts}
    form["decoder"]["decoders"].append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return _write(folder, form, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>")


FORMS: dict[str, Callable[[Path], Path]] = {
    form.__name__: form for form in (gpt2, llama3, clip, bert, git, gemma, llama2)
}
