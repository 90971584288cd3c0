import pytest

import cspine_zoo as cz
from markup import variant_lines
from peaks import Peak
from tables import probability_rows, timing_rows
from tests.demo.neck import comparison, prediction
from verdict import (
    agreement_sentence,
    headline,
    mean_name,
    mean_sentence,
    sentence,
    short_names,
    truth_sentence,
)


def test_the_headline_gives_level_numbers_and_vote() -> None:
    assert headline(comparison()) == (
        "C5 called fractured: 0.22, 0.84, 0.91; two of three variants over their threshold. "
        "C6 in dispute: 0.05, 0.05, 0.55; one of three variants over its threshold."
    )


def test_the_headline_of_a_quiet_neck_names_the_highest_level() -> None:
    quiet = comparison([prediction("a", {"C2": 0.2}, 0.2), prediction("b", {"C2": 0.3}, 0.3)])
    assert headline(quiet) == "No level is over a threshold. Highest is C2: 0.20, 0.30."


def test_the_headline_counts_what_it_does_not_tell() -> None:
    many = dict.fromkeys(("C2", "C3", "C4", "C5"), 0.9)
    assert headline(comparison([prediction("a", many, 0.9)])).endswith(
        "Also over a threshold: C4, C5."
    )


def test_the_headline_without_any_score() -> None:
    nothing = dict.fromkeys(cz.LEVELS)
    assert headline(comparison([prediction("a", nothing, None)])) == (
        "No cervical vertebra was scored."
    )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "cls-cnn-lite0",
            "No level over its threshold of 0.50; highest is C2 (0.31). "
            "Patient: 0.41, under its threshold of 0.50.",
        ),
        (
            "cls-bigru-attention-lite0",
            "Over its threshold of 0.50 at C5 (0.91) and C6 (0.55). "
            "Patient: 0.97, over its threshold of 0.50.",
        ),
    ],
)
def test_each_variant_gets_one_sentence(model: str, expected: str) -> None:
    assert sentence(comparison(), model) == expected


def test_a_close_call_is_told_with_the_digits_that_it_needs() -> None:
    close = comparison([prediction("a", {"C5": 0.502}, 0.498)])
    assert sentence(close, "a") == (
        "Over its threshold of 0.500 at C5 (0.502). Patient: 0.498, under its threshold of 0.500."
    )


def test_the_mean_is_told_without_a_verdict() -> None:
    told = mean_sentence(comparison())
    assert mean_name(comparison()) == "mean of three"
    assert told.startswith("Highest is C5 (0.66). Patient: 0.75. No threshold")
    assert "over" not in told
    nothing = comparison([prediction("a", dict.fromkeys(cz.LEVELS), None)])
    assert mean_sentence(nothing) == "No level was scored."


def test_agreement_names_levels_and_the_closest_call() -> None:
    assert agreement_sentence(comparison()) == (
        "All under their thresholds: C1, C2, C3, C4 and C7. Divided: C5 and C6. "
        "Closest call: C6, where cls-bigru-attention-lite0 is 0.050 over its threshold."
    )
    both = comparison([prediction(name, {"C1": 0.9, "C2": None}, 0.9) for name in ("a", "b")])
    told = agreement_sentence(both)
    assert "All over: C1." in told
    assert "C2" not in told
    nothing = comparison([prediction("a", dict.fromkeys(cz.LEVELS), None)])
    assert agreement_sentence(nothing) == "No level was scored."


def test_truth_in_words() -> None:
    assert truth_sentence({}) == ""
    assert truth_sentence(dict.fromkeys(cz.LEVELS, 0)) == "Known truth: no fracture."
    assert truth_sentence({"C2": 1, "C5": 1}) == "Known truth: fracture of C2 and C5."


def test_the_table_gives_difference_and_agreement() -> None:
    rows = probability_rows(comparison(), {"C5": 1})
    assert [row["Level"] for row in rows] == [*(f"**{x}**" for x in cz.LEVELS), "**Patient**"]
    c5 = rows[4]
    assert c5["bigru-attention"].replace("\xa0", " ") == "**0.910 ≥ 0.500**"
    assert c5["cnn"].replace("\xa0", " ") == "0.220 < 0.500"
    assert c5["Mean of three"] == "0.657"
    assert c5["Difference"] == "0.690"
    assert c5["Closest call"] == "\N{MINUS SIGN}0.280, cnn"
    assert c5["Over threshold"] == "2 of 3, **disagree**"
    assert c5["Truth"] == "◆ fracture"
    assert rows[0]["Over threshold"] == "0 of 3, agree"


def test_the_table_of_one_variant_compares_nothing() -> None:
    row = probability_rows(comparison([prediction("a", {"C1": None}, 0.1)]), {})[0]
    assert row == {"Level": "**C1**", "a": "–", "In view": "not found"}


def test_timings_name_the_device_and_the_memory_where_it_was_measured() -> None:
    rows = timing_rows(comparison())
    assert len(rows) == 3
    assert rows[0]["Device"] == "cpu, float32"
    assert rows[0]["Segment"] == "3.2\xa0s"
    held = {"prepare": Peak(1_000_000_000), "segment": Peak(2_500_000_000)}
    memory = timing_rows(comparison(), held)[3:]
    assert memory == [
        {
            "Variant": "Most memory",
            "Read": "–",
            "Prepare": "1.00\xa0GB",
            "Segment": "2.50\xa0GB",
            "Classify": "–",
            "Total": "2.50\xa0GB",
            "Device": "",
        }
    ]
    with_card = timing_rows(comparison(), {"segment": Peak(1, 5_000_000_000)})
    assert [row["Variant"] for row in with_card[3:]] == ["Most memory", "On the card"]
    localized = timing_rows(comparison(), {"localize": Peak(2 * 10**9), "classify": Peak(10**9)})
    assert localized[-1]["Classify"] == "2.00\xa0GB"
    assert with_card[-1]["Segment"] == "5.00\xa0GB"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["cls-cnn-lite0", "cls-bigru-lite0"], ["cnn", "bigru"]),
        (["cls-bigru-lite0", "cls-bigru-attention-lite0"], ["lite0", "attention-lite0"]),
        (["only-one"], ["only-one"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_short_names_drop_what_is_common(names: list[str], short: list[str]) -> None:
    assert list(short_names(names).values()) == short


def test_html_is_escaped() -> None:
    lines = variant_lines({"<b>x</b>": ("#000000", "<script>")}, "<i>")
    assert "<script>" not in lines
    assert "<i>" not in lines
    assert "&lt;script&gt;" in lines
