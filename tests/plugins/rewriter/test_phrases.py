from __future__ import annotations

import re

import pytest
from genever_plugins.rewriter.phrases import Phrases

WORDS = {
    "article": ("a",),
    "number": ("two", "three"),
    "size": ("small", "large", "very large"),
    "colour": ("red", "blue"),
    "shape": ("circle", "cross"),
    "shapes": ("circles", "crosses"),
}
DEFAULTS = {"article": "a", "size": "large"}


def phrases(*rows: str, **said: object) -> Phrases:
    given = {"phrases": rows, "words": WORDS, "defaults": DEFAULTS}
    return Phrases(**{**given, **said})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("prompt", "whole"),
    [
        ("red circle", "a large red circle"),
        ("a red circle", "a large red circle"),
        ("small red circle", "a small red circle"),
        ("very large red circle", "a very large red circle"),
        ("a small red circle", "a small red circle"),
        ("two blue crosses", "two large blue crosses"),
        ("Red  Circle", "a large Red Circle"),
        ("red circle and blue cross at the left", "a large red circle and a large blue cross at the left"),
        ("blue crosses", "blue crosses"),
        ("a dog", "a dog"),
        ("bored circle, red circlet", "bored circle, red circlet"),
        ("a red\ncircle\n", "a large red circle\n"),
        ("", ""),
    ],
)
def test_phrases_are_given_what_they_leave_out(prompt, whole):
    rewriter = phrases("{article} {size} {colour} {shape}", "{number} {size} {colour} {shapes}").build()
    assert rewriter([prompt]) == [whole]
    assert rewriter([whole]) == [whole]


def test_phrase_is_completed_behind_the_word_by_which_it_is_known():
    rewriter = phrases("{shape} {size}").build()
    assert rewriter(["circle, cross small"]) == ["circle large, cross small"]


def test_words_are_words_and_no_patterns():
    rewriter = phrases("{size} {colour}", words={"size": ("large",), "colour": ("r.d",)}, defaults={"size": "large"}).build()
    assert rewriter(["red r.d"]) == ["red large r.d"]


@pytest.mark.parametrize(
    ("row", "said", "message"),
    [
        ("{size}{colour}", {}, r"phrases holds '{size}{colour}', which is no row of kinds\. Write each in braces"),
        ("a {colour}", {}, r"phrases holds 'a {colour}', which is no row of kinds"),
        ("{colour", {}, r"phrases holds '{colour', which is no row of kinds"),
        ("", {}, r"phrases holds '', which is no row of kinds"),
        (
            "{size} {sort}",
            {},
            r"phrases holds '{size} {sort}', but rewriter\.Phrases\.words has no 'sort'\. It has 'article'",
        ),
        ("{article} {size}", {}, r"defaults has a word for every kind of '{article} {size}', so nothing would tell"),
        (
            "{size} {colour}",
            {"defaults": {"size": "huge"}},
            r"defaults\['size'\] = 'huge' is not among the words of that kind",
        ),
        ("{size} {colour}", {"defaults": {"sise": "large"}}, r"Phrases\.words\['sise'\] = None; add it there"),
    ],
)
def test_phrases_that_cannot_be_meant_are_refused(row, said, message):
    with pytest.raises(ValueError, match=re.sub(r"(?<!\\)([{}])", r"\\\1", message)):
        phrases(row, **said)
