"""The embedded data set of classes."""

import numpy as np

import tfrecords_builder
from tfcap.data.records import Records
from tfcap.settings import DataSettings
from tfrecords_builder.objects import CLASSES


def _train(tmp_path, **changes):
    data = DataSettings(dataset="objects", data_dir=str(tmp_path), **{"scenes_size": 60, **changes})
    return Records(tfrecords_builder.build(data, progress=False), "train")


def test_one_object_a_picture_and_as_many_of_each_kind(tmp_path):
    train = _train(tmp_path)
    labels = train.truth("label")
    assert train.captions == [[CLASSES[label]] for label in labels]
    counts = np.bincount(labels, minlength=len(CLASSES))
    assert len(train) == 48 and counts.min() >= 4 and counts.max() <= 5
    assert train.picture(0).shape == (32, 32, 3) and train.picture(0).std() > 10


def test_pictures_depend_on_the_seed_and_not_on_how_many_there_are(tmp_path):
    few, many, other = (_train(tmp_path, **one) for one in ({}, {"scenes_size": 90}, {"scenes_seed": 1}))
    np.testing.assert_array_equal(few.picture(5), many.picture(5))
    assert not np.array_equal(few.picture(5), other.picture(5))
