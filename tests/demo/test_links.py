"""Addresses that lead to a job, without a browser."""

from typing import Any

import pytest

from tests.demo.conftest import Page
from tests.demo.test_page import upload

pytestmark = pytest.mark.slow


def follow(key: str) -> Page:
    page = Page()
    page.app.query_params["job"] = key
    return page.run()


def test_a_reload_finds_study_and_result_until_they_are_deleted(page: Page, nifti: bytes) -> None:
    page.run()
    assert "job" not in page.app.query_params  # a sample alone is nothing to come back to
    upload(page, ("Doe^Jane.nii.gz", nifti))
    before = page.app.query_params["job"]
    page.press("Run")
    link: Any = page.app.query_params["job"]
    assert link != before  # a result is under a key of its own
    again = follow(link)
    assert again.visit.comparison is page.visit.comparison
    assert "C5 called fractured" in again.words
    assert again.app.segmented_control(key="source").value == "Your own"
    assert "Whoever has this link sees" in again.words
    assert "Doe" not in again.words
    page.press("Delete now")
    again.run()
    assert again.visit.comparison is None
    assert "not held here any more" in again.words


def test_a_link_that_leads_nowhere_says_so_and_the_page_works(page: Page) -> None:
    page.app.query_params["job"] = "nobody-has-this-key"
    page.run()
    assert "not held here any more" in page.words
    assert page.visit.study.sample == "neck"
    page.press("Run")
    assert "not held here any more" not in page.words


def test_a_second_run_leaves_the_first_link_as_it_was(page: Page) -> None:
    page.run().press("Run")
    first: Any = page.app.query_params["job"]
    guest = follow(first)
    page.app.multiselect[0].set_value(page.app.multiselect[0].options[:1])
    page.run().press("Run")
    guest.run()
    assert len(guest.visit.comparison.models()) == 3
    assert len(page.visit.comparison.models()) == 1
    page.app.switch_page("views/models.py").run()
    assert page.app.query_params["job"] == page.visit.key  # so that a reload finds it from there
