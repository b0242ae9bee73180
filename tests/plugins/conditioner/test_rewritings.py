"""What holds for every rewriter: asked once, judged, remembered."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from genever_plugins.conditioner.rewritings import Rewritings, quotations

asked: list[str] = []


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "cache"))
    asked.clear()
    return tmp_path / "cache/rewritings"


@dataclass(frozen=True)
class Says:
    """A rewriter of one function, which writes down what it was asked for."""

    function: Callable[[str], str]
    name: str = ""
    fingerprint: str = ""

    def __repr__(self) -> str:
        return f"Says({self.name!r})"

    def build(self) -> Says:
        return self

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        asked.extend(prompts)
        return [self.function(prompt) for prompt in prompts]


def large(prompt: str) -> str:
    return f"a large {prompt}"


def rewriting(function: Callable[[str], str] = large, **said: str) -> Callable[..., list[str]]:
    """What prompts become, as a process sees it that has just begun."""
    rewritings = Rewritings.of(Says(function, **said))
    return lambda *prompts: list(rewritings(prompts))


def test_rewriting_a_rewritten_prompt_gives_the_same():
    rewritten = rewriting()
    once = rewritten("circle")
    assert rewritten(*once) == once == ["a large circle"]
    assert rewriting()(*once) == once, "It is forgotten between two processes."
    assert asked == ["circle"]


def test_answer_that_was_a_prompt_leads_to_what_that_one_became():
    rewritten = rewriting()
    assert rewritten("a large circle") == ["a large a large circle"]
    once = rewritten("circle")
    assert rewritten(*once) == once


def test_answers_are_kept_between_two_processes_for_this_rewriter_alone(cache):
    rewriting(name="one")("circle")
    rewriting(name="one")("circle")
    assert asked == ["circle"]
    rewriting(name="two")("circle")
    rewriting(name="one", fingerprint="other weights")("circle")
    assert asked == ["circle"] * 3
    assert len(list(cache.iterdir())) == 3


def test_damaged_lines_of_the_cache_are_passed_over(cache):
    rewriting()("circle")
    (file,) = cache.iterdir()
    file.write_bytes(b'\xff\n{"prompt": "cross"}\n[]\n' + file.read_bytes() + b'{"prompt": "squ')
    assert rewriting()("circle", "cross") == ["a large circle", "a large cross"]
    assert asked == ["circle", "cross"]


def test_first_of_two_lines_of_the_cache_for_one_prompt_counts(cache):
    rewriting()("circle")
    (file,) = cache.iterdir()
    with file.open("a") as other_process:
        other_process.write('{"prompt": "circle", "rewritten": "something else"}\n')
    assert rewriting()("circle") == ["a large circle"]


def test_cache_that_cannot_be_written_costs_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "file/below"))
    assert rewriting()("circle") == ["a large circle"]


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("""a sign that says "open", and one that says 'closed'""", ['"open"', "'closed'"]),
        ("the dog's bone and the cat's tail", []),
        ("two dogs' bones, three cats' tails", []),
        ("it says 'don't' twice: 'don't'", ["'don't'", "'don't'"]),
        ("a poster “Night”", ["“Night”"]),
        ("""a 5" screen""", []),
    ],
)
def test_quotations_are_told_from_apostrophes(prompt, spans):
    assert quotations(prompt) == spans


@pytest.mark.parametrize(
    ("prompt", "answer", "result"),
    [
        ('a sign "OPEN"', 'a large wooden sign that reads "OPEN"', "answer"),
        ('a sign "OPEN"', 'a large wooden sign that reads "Open"', "prompt"),
        ('a sign "OPEN"', "a large wooden sign that reads OPEN", "prompt"),
        ("'a' above 'a'", "an 'a' above another", "prompt"),
        ("a sign", " \n", "prompt"),
        ("a sign", "  a large sign\n", "answer"),
    ],
)
def test_prompt_stands_where_its_answer_is_empty_or_loses_a_quotation(prompt, answer, result):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert rewriting(lambda _: answer)(prompt) == [{"prompt": prompt, "answer": answer.strip()}[result]]
    assert len(said) == (result == "prompt")


def test_prompt_without_an_answer_is_asked_for_once_and_reported_once():
    rewritten = rewriting(lambda prompt: "")
    with pytest.warns(UserWarning, match=r"^conditioner\.Rewrite leaves 'circle' as it is, because the answer is empty\."):
        assert rewritten("circle") == ["circle"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rewritten("circle", "cross") == ["circle", "cross"]
    assert asked == ["circle", "cross"]


def test_rewriter_that_fails_is_asked_no_more_and_reported_once():
    rewritten = rewriting(lambda prompt: 1 / 0)
    with pytest.warns(UserWarning, match=r"'circle' as it is, because the rewriter failed with ZeroDivisionError: division"):
        assert rewritten("circle", "cross") == ["circle", "cross"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rewritten("circle", "square") == ["circle", "square"]
    assert asked == ["circle", "cross"]


def test_failures_are_not_kept_for_the_next_process(cache):
    for function in (lambda prompt: "", lambda prompt: 1 / 0):
        with pytest.warns(UserWarning, match="as it is"):
            rewriting(function)("circle")
    assert not cache.exists()
    assert rewriting()("circle") == ["a large circle"]


def test_rewriter_with_too_few_answers_has_failed(monkeypatch):
    monkeypatch.setattr(Says, "__call__", lambda self, prompts: ["one"])
    with pytest.warns(UserWarning, match="the rewriter failed with ValueError"):
        assert rewriting()("circle", "cross") == ["circle", "cross"]


def test_answers_are_kept_as_they_come(cache):
    def stop(prompt: str) -> str:
        if prompt == "circle 16":
            raise KeyboardInterrupt
        return large(prompt)

    with pytest.raises(KeyboardInterrupt):
        rewriting(stop)(*(f"circle {number}" for number in range(20)))
    (file,) = cache.iterdir()
    assert len(file.read_text().splitlines()) == 2 * 16


def test_empty_prompt_stays_empty():
    assert rewriting()("", " ", "circle") == ["", " ", "a large circle"]
    assert asked == ["circle"]
