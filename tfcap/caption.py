"""Captions pictures with an exported model.

    python -m tfcap.caption --model=runs/x/saved_model picture.jpg [more.png ...]

One line a picture: its name, the caption and its score, separated by tabs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags as absl_flags

from tfcap.errors import InputError


def parse(argv: Sequence[str]) -> tuple[Path, list[Path]]:
    """Returns the SavedModel's folder and the pictures that the command line names."""
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_string("model", None, "Folder of the SavedModel.", flag_values=values)
    if any(word in ("-h", "-help", "--help") for word in argv[1:]):
        print((__doc__ or "").strip())
        raise SystemExit(0)
    try:
        pictures = [Path(name) for name in values(list(argv))[1:]]
    except absl_flags.Error as error:
        raise InputError(str(error), expected="--model=FOLDER picture.jpg") from None
    model = Path(values["model"].value or "")
    if not (model / "saved_model.pb").exists():
        raise InputError(
            "There is no SavedModel",
            received=f"--model={values['model'].value}",
            expected="a folder with saved_model.pb",
        )
    if not pictures:
        raise InputError("No picture is named", expected="--model=FOLDER picture.jpg")
    for picture in pictures:
        if not picture.is_file():
            raise InputError("A picture is missing", received=picture, expected="a JPEG or PNG file")
    return model, pictures


def main(argv: Sequence[str]) -> None:
    """Prints a caption for each picture."""
    folder, pictures = parse(argv)
    import tfcap.quiet  # noqa: F401, I001
    import tensorflow as tf

    try:
        signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"The SavedModel {folder} is damaged ({str(error).splitlines()[0][:160]})",
            expected="what an experiment exports",
        ) from None
    for picture in pictures:
        try:
            said = signature(image_bytes=tf.constant([picture.read_bytes()]))
        except tf.errors.InvalidArgumentError as error:
            reason = next(
                (line for line in str(error).splitlines() if "image_bytes:" in line), str(error).splitlines()[0]
            )
            raise InputError(
                f"{picture} cannot be captioned ({reason.strip()[:160]})", expected="a JPEG or PNG file"
            ) from None
        print(f"{picture}\t{said['caption'][0].numpy().decode()}\t{float(said['score'][0]):.3f}")


if __name__ == "__main__":
    try:
        main(sys.argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
