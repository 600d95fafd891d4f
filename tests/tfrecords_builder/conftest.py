import pytest

from tests.tfrecords_builder import toy
from tfcap.registry import DATASETS
from tfcap.settings import DataSettings


@pytest.fixture
def toy_data(tmp_path, monkeypatch):
    """Settings of the toy data set, which holds 3 train images and 1 test image until the test says otherwise."""
    toy.register()
    monkeypatch.setattr(toy.Toy, "contents", {"train": [toy.example(n) for n in (7, 3, 5)], "test": [toy.example(1)]})
    monkeypatch.setattr(toy.Toy, "extras", ())
    monkeypatch.setattr(toy.Toy, "built", 0)
    yield DataSettings(dataset="toy", data_dir=str(tmp_path / "data"))
    del DATASETS._targets["toy"]
