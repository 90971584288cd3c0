import pytest

from cspine_zoo.results import LabelMap, StudyPrediction
from tests.export.studies import example_label_map, example_prediction


@pytest.fixture
def label_map() -> LabelMap:
    return example_label_map()


@pytest.fixture
def prediction() -> StudyPrediction:
    return example_prediction()
