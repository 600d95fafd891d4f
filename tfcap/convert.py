"""Writes a trained captioner as a folder in the form of Hugging Face, which transformers and tfcap read.

    python -m tfcap.convert --run=runs/x --out=captioner

`vit_gpt2` becomes a VisionEncoderDecoder and `git` a GIT; of `clip_gpt2` and `vit_llama` the language model alone has
such a form, with its adapters merged into it. Flags:
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import flags
from tfcap.cards import card_of_run
from tfcap.command_settings import ConvertSettings
from tfcap.data.subwords import SubwordTokenizer
from tfcap.errors import InputError
from tfcap.evaluation.quality import ACCURACY
from tfcap.files import atomic_folder, refusal_explained
from tfcap.models.contents import FLAGS, check_same, contents_behind
from tfcap.run_folder import HUB_CARD, contents_of, description_of


def main(argv: Sequence[str]) -> None:
    """Converts, and prints what was written."""
    asked = ConvertSettings(**flags.parse_said(argv, ("convert",), __doc__ or ""))
    for name in ("run", "out"):
        if not getattr(asked, name):
            raise InputError(f"--{name} is missing", expected=f"--{name}=FOLDER", remedy="See --help.")
    run, out = Path(asked.run), Path(asked.out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "config.json").is_file())):
        raise InputError("--out is a folder of something else", received=out, expected="a new folder, or a checkpoint")
    written = convert(run, out)
    print(f"{out}\n  {written['tensors']:,} tensors, {written['parameters']:,} parameters, {written['model_type']}")
    if written["left_out"]:
        print(f"  left out, for want of a form: {written['left_out']}")


def convert(run: Path, out: Path) -> dict[str, object]:
    """Writes the best captioner of a finished run into `out`; returns what was written.

    Raises:
      InputError: the run is not finished, its captioner or its vocabulary has no form at Hugging Face, or what it
        began with is not there any more.
    """
    settings, _ = description_of(run)
    if settings.quality == ACCURACY:
        raise InputError(
            "A classifier has no form at Hugging Face here", received=f"--run={run}", expected="a captioner"
        )
    tokenizer_folder = run / SubwordTokenizer.saved_as
    if not tokenizer_folder.is_dir():
        raise InputError(
            "The captioner has words of its own, for which Hugging Face has no tokenizer",
            received=f"--run={run}",
            expected="a run with --tokenizer or --checkpoint",
        )
    for flag in FLAGS:
        if Path(settings.get(flag) or "none").expanduser().resolve() == out.resolve():
            raise InputError(f"The run still needs the --{flag} that it began with", received=f"--out={out}")
    if not (run / "metrics.json").is_file():
        raise InputError("The run is not finished", received=f"--run={run}", expected="a folder with metrics.json")
    tokenizer = SubwordTokenizer.load(tokenizer_folder, settings.data.max_tokens)

    from safetensors.numpy import save_file  # TensorFlow is imported only when it is needed

    from tfcap.models.build import build_captioner
    from tfcap.models.weight_table import tensors_of
    from tfcap.training import checkpoint

    best = checkpoint.find(run / "checkpoints", checkpoint.BEST)
    if best is None:
        raise InputError("The run has no trained checkpoint", received=f"--run={run}", expected="a finished run")
    named = {**dataclasses.asdict(settings.model), "tokenizer": ""}  # the words are the run's own
    check_same(contents_of(run), contents_behind(named), f"when the run {run} began", "Put back what was there.")
    model = build_captioner(settings, len(tokenizer), marks=tokenizer.marks)
    checkpoint.restore(best, model)
    found = model.hugging_face()
    tensors = tensors_of(found.rows)
    written: dict[str, object] = {
        "tensors": len(tensors),
        "parameters": sum(tensor.size for tensor in tensors.values()),
        "model_type": found.config["model_type"],
        "left_out": found.left_out,
    }
    with refusal_explained(f"--out={out}"), atomic_folder(out) as folder:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for name, content in {"config.json": found.config, "preprocessor_config.json": found.preprocessing}.items():
            if content:
                (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for path in tokenizer_folder.iterdir():
            shutil.copy(path, folder / path.name)
        (folder / HUB_CARD).write_text(card_of_run(run, written), encoding="utf-8")
    return written


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv), "interrupted; nothing was written")
