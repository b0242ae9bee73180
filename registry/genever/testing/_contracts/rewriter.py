"""Rewriters."""

from __future__ import annotations

import torch

from genever.slots import RewriterModel
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched

_PROMPTS = ("a low one", "high", "two dogs in the snow", "a sign that says 'low'")


def every_prompt_gets_one_answer(case: Case) -> None:
    model = _built(case)
    assert model([]) == []
    answers = model(_PROMPTS)
    assert isinstance(answers, list)
    assert len(answers) == len(_PROMPTS)
    assert all(isinstance(answer, str) for answer in answers)


def rewriting_is_not_drawn(case: Case) -> None:
    model = _built(case)
    with global_luck_untouched():
        assert model(_PROMPTS) == model(_PROMPTS)


def answer_to_a_prompt_depends_on_it_alone(case: Case) -> None:
    model = _built(case)
    answers = model(_PROMPTS)
    assert model(_PROMPTS[::-1]) == answers[::-1]
    assert [model([prompt])[0] for prompt in _PROMPTS] == answers


def rewriter_built_again_is_the_same(case: Case) -> None:
    first, second = _built(case), _built(case)
    assert first.fingerprint == second.fingerprint
    assert first(_PROMPTS) == second(_PROMPTS)


def rewriter_is_built_on_the_meta_device_too(case: Case) -> None:
    with torch.device("meta"):
        assert isinstance(_built(case).fingerprint, str)


def _built(case: Case) -> RewriterModel:
    model = case.part().build()
    assert isinstance(model, RewriterModel), "What is built lacks a fingerprint, or cannot be called."
    return model
