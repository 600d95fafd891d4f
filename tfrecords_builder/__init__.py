"""TensorFlow Datasets builders: image-caption sources in, checked and indexed TFRecords out.

`python -m tfrecords_builder --dataset=flickr8k --source=DIR --data_dir=data` does it from the command line.
"""

from __future__ import annotations

from pathlib import Path

from tfcap.settings import DataSettings


def build(data: DataSettings, progress: bool = True) -> Path:
    """Returns the folder `<data_dir>/<name>/<config>/<version>` of a data set, building it first where it is absent.

    Raises:
      InputError: if the source is missing, unreadable or too damaged, or a built data set has another source.
    """
    from tfrecords_builder import building  # TensorFlow is imported only when it is needed

    return building.build(data, progress)


def locate(data: DataSettings) -> Path | None:
    """Returns the folder of a built, whole data set, or None where nothing is built.

    Raises:
      InputError: if a shard is missing or cut short, or the data set was built from another source.
    """
    from tfrecords_builder import building

    return building.locate(data)
