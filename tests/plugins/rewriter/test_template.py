from __future__ import annotations

import pytest
from genever_plugins.rewriter.template import Template


@pytest.mark.parametrize(
    "text", ["{prompt}, on black", "a drawing of {prompt}", "a drawing of {prompt} on {black}", "{prompt}"]
)
@pytest.mark.parametrize("prompt", ["a red circle", "{prompt}", "", "on black"])
def test_template_holds_the_prompt_and_is_filled_once(text, prompt):
    rewriter = Template(text=text).build()
    (filled,) = rewriter([prompt])
    before, after = text.split("{prompt}")
    assert filled == before + prompt + after
    assert rewriter([filled]) == [filled]


def test_template_is_not_taken_for_filled_where_its_ends_overlap():
    assert Template(text="a {prompt} a").build()(["a a"]) == ["a a a a"]


@pytest.mark.parametrize(("text", "times"), [("on black", 0), ("{prompt} and {prompt}", 2), ("{Prompt}", 0)])
def test_template_without_one_place_for_the_prompt_is_refused(text, times):
    with pytest.raises(
        ValueError, match=rf"^rewriter\.Template\.text = '.*' holds '{{prompt}}' {times} times\. Write it once"
    ):
        Template(text=text)
