"""The embedded data set: scenes rendered here, with written captions and the truth about both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.licences import Licence
from tfrecords_builder.scene_plan import SPLITS, generate, split_sizes


class Scenes(CaptionsBuilder):
    """Rendered scenes of one to three objects in eight settings, 96 x 96 pixels, five captions each.

    Train is redundant and noisy, and says where: how often a scene type recurs follows a power law, and
    5 % of its images carry the captions of an image of another type. Validation and test draw from the
    same power law, without noise. Each record holds

      truth/scene_type      what the scene shows, as `scene_world.SceneType.code`; equal for near duplicates
      truth/copies          how many train images show this type (0 for a test scene that train never shows)
      truth/noisy           1 if the captions belong to another image
      truth/caption_source  the id of the image the captions were written for; its own id if they are clean
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    OPTIONS = ("scenes_size", "scenes_seed")
    LICENCE = Licence(
        "Pictures and captions are made by tfcap, whose licence is Apache-2.0; nothing in them is anyone else's.",
        identifier="apache-2.0",
        url="https://www.apache.org/licenses/LICENSE-2.0",
    )

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        return f"n{data.scenes_size}-s{data.scenes_seed}"

    @classmethod
    def config_description(cls, data: DataSettings) -> str:
        return f"{data.scenes_size:,} scenes from seed {data.scenes_seed}, split 0.8/0.1/0.1."

    @classmethod
    def extra_features(cls) -> Sequence[str]:
        return ("truth/scene_type", "truth/copies", "truth/noisy", "truth/caption_source")

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        self.totals.update(split_sizes(data.scenes_size))
        return {split: _examples(data, split) for split in SPLITS}


def _examples(data: DataSettings, split: str) -> Iterator[Example]:
    for scene in generate(data.scenes_size, data.scenes_seed, split):
        yield Example(
            image_id=scene.image_id,
            filename=f"{scene.image_id:06d}.jpg",
            image=scene.image,
            captions=scene.captions,
            caption_ids=scene.caption_ids,
            extras={
                "truth/scene_type": scene.content.code,
                "truth/copies": scene.copies,
                "truth/noisy": int(scene.noisy),
                "truth/caption_source": scene.caption_source,
            },
        )
