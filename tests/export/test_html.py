from dataclasses import replace
from html.parser import HTMLParser

from cspine_zoo.export.html import NOTICE, to_html
from cspine_zoo.results import Comparison, StudyPrediction


class _Page(HTMLParser):
    """Collects text and tags, and fails on tags that do not nest."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone(prediction: StudyPrediction) -> None:
    page = _Page(to_html(prediction))
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object"}
    attributes = {name for _, attributes in page.tags for name in attributes}
    assert not attributes & {"src", "href"}


def test_the_notice_and_every_figure_can_be_read(prediction: StudyPrediction) -> None:
    page = _Page(to_html(prediction))
    assert NOTICE in page.text
    for model in prediction.predictions:
        assert model.model in page.text
        assert model.weights_sha256 in page.text
        for vertebra in model.vertebrae:
            if vertebra.probability is not None:
                assert f"{vertebra.probability:.3f}" in page.text
    assert "not scored" in page.text
    assert "1 of 2" in page.text
    assert prediction.study.warnings[0].message in page.text


def test_text_from_outside_stays_text(prediction: StudyPrediction) -> None:
    page = to_html(prediction)
    assert "<b>" not in page
    assert "&lt;b&gt;two" in page


def test_no_file_name_of_the_study_is_written(prediction: StudyPrediction) -> None:
    """A file's name can hold a patient's."""
    assert "DOE" not in to_html(prediction)
    assert "1 (not_ct)" in to_html(prediction)


def test_bars_are_as_long_as_the_probabilities(prediction: StudyPrediction) -> None:
    page = _Page(to_html(prediction))
    lengths = [float(a["width"] or 0) for tag, a in page.tags if tag == "rect" and "y" in a]
    assert len(lengths) == 2 * 8
    assert max(lengths) == round(0.91 * 360, 1)


def test_truth_is_shown_where_it_is_known(prediction: StudyPrediction) -> None:
    assert "Truth" not in to_html(prediction)
    page = _Page(to_html(prediction, truth={"C5": 1, "C6": 0}))
    assert "no fracture" in page.text


def test_the_mean_stands_beside_several_models_and_says_what_it_is(
    prediction: StudyPrediction,
) -> None:
    text = _Page(to_html(prediction)).text
    mean = Comparison(prediction.study, prediction.predictions).mean("patient_overall")
    assert f"{mean:.2f}" in text
    assert "it has no threshold" in text
    alone = replace(prediction, predictions=prediction.predictions[:1])
    assert "Mean" not in _Page(to_html(alone)).text


def test_a_study_without_classifiers_still_makes_a_page(prediction: StudyPrediction) -> None:
    page = _Page(to_html(replace(prediction, predictions=())))
    assert "No classifier was run." in page.text
