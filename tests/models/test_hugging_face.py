"""How a tower's images are said to be prepared: as they are in training, and read back as they were said."""

import numpy as np
import pytest

from tests.models import toy_clip, toy_vit
from tfcap.models.hugging_face import preprocessing_of


@pytest.mark.parametrize(
    ("tower", "kind", "crops"),
    [(toy_vit.toy_vit, "ViTImageProcessor", {}), (lambda: toy_clip.toy_clip().vision, "CLIPImageProcessor", {16})],
)
def test_images_are_squashed_to_the_side_by_the_filter_of_training(tower, kind, crops):
    made = tower()
    said = preprocessing_of(made, kind)
    assert said["size"] == {"height": 16, "width": 16} and said["resample"] == 2 and not said["do_center_crop"]
    assert set(said.get("crop_size", {}).values()) == set(crops)
    again = type(made)(made.shape, *([None] if crops else []), said)
    np.testing.assert_array_equal([again.mean, again.deviation], [made.mean, made.deviation])
