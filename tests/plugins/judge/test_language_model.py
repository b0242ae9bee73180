"""A tiny random model that sees images: what it answers is worked out by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.testing import ToyData, toy_composition
from genever.values import Samples
from genever_plugins.judge.language_model import LanguageModel, preference_in
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPImageProcessor, CLIPVisionConfig, GenerationConfig, LlamaConfig, LlavaConfig, LlavaProcessor
from transformers import LlavaForConditionalGeneration as Llava
from transformers import PreTrainedTokenizerFast as Fast

FIRST, SECOND = '{"better":"first"}', '{"better":"second"}'
WORDS = ("<unk>", "</s>", "<pad>", "<image>", "[user]", "[answer]", "a", "ring", "class", "1", FIRST, SECOND)
CHAT = (
    "{% for one in messages %}[{{ one.role }}] {% for part in one.content %}"
    "{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}"
    "{{ strftime_now('%Y') }}[answer]"
)


def save(folder: Path, chat: str | None = CHAT, *, is_legible: bool = True) -> str:
    """A model that says FIRST or SECOND: the output weights of one are those of the other turned round, all others 0."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = Fast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**size, image_size=8, patch_size=4, initializer_factor=5.0)
    text = LlamaConfig(
        **size, vocab_size=len(WORDS), bos_token_id=None, eos_token_id=1, pad_token_id=2, initializer_range=0.5
    )
    model: Any = Llava(LlavaConfig(vision_config=vision, text_config=text, image_token_index=3, vision_feature_layer=-1))
    head = model.lm_head.weight.data
    head.zero_()
    head[WORDS.index(FIRST) if is_legible else 6] = torch.randn(16)
    head[WORDS.index(SECOND) if is_legible else 7] = -head.sum(0)
    model.generation_config = GenerationConfig(do_sample=True, temperature=3.0, eos_token_id=1)
    model.save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    LlavaProcessor(images, fast, patch_size=4, vision_feature_select_strategy="full", chat_template=chat).save_pretrained(
        folder
    )
    return str(folder)


def judge(path: str, **given: Any) -> Any:
    return LanguageModel(path=path, max_new_tokens=1, **given).build(toy_composition(data=ToyData(channels=3)))


def pairs(num: int = 12) -> tuple[torch.Tensor, torch.Tensor, Samples]:
    first, second = torch.rand(2, num, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return first, second, Samples(images=first, captions=("a ring",) * num)


@torch.no_grad()
def by_hand(path: str, first: torch.Tensor, second: torch.Tensor) -> float:
    """What the model says of a pair, asked for a ring with the question 'a'."""
    text = "[user] a The request: a ring The first picture: <image> The second picture: <image> [answer]"
    words = [word for one in text.split() for word in ([one] * 4 if one == "<image>" else [one])]
    ids = torch.tensor([[WORDS.index(word) if word in WORDS else 0 for word in words]])
    seen = [((image + 1) * 127.5).round() / 255 for image in (first, second)]
    mean, std = (
        torch.tensor(one).view(3, 1, 1) for one in (CLIPImageProcessor().image_mean, CLIPImageProcessor().image_std)
    )
    model: Any = Llava.from_pretrained(path)
    logits = model(input_ids=ids, pixel_values=torch.stack([(one - mean) / std for one in seen])).logits[0, -1]
    return float(logits[WORDS.index(FIRST)] > logits[WORDS.index(SECOND)])


def test_judge_is_shown_the_request_and_both_images_in_order(tmp_path):
    path = save(tmp_path)
    first, second, samples = pairs()
    found = judge(path, question="a").prefers(first, second, samples)
    assert found.tolist() == [by_hand(path, a, b) for a, b in zip(first, second, strict=True)]
    assert set(found.tolist()) == {0, 1}, "The toy always says the same."


def test_judge_is_told_a_class_where_there_is_no_caption(tmp_path):
    model, asked = judge(save(tmp_path)), []
    model.answer = lambda first, second, request: asked.append(request) or FIRST
    images = torch.zeros(2, 3, 8, 8)
    model.prefers(images, images, Samples(images=images, labels=torch.tensor([1, 4])))
    model.prefers(images, images, Samples(images=images))
    assert asked == ["class 1", "class 4", "", ""]


def test_judge_of_grey_images_sees_three_channels(tmp_path):
    model = judge(save(tmp_path))
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    answers = [model.answer(*images, "a ring") for images in (grey, grey.expand(-1, 3, -1, -1))]
    assert answers[0] == answers[1]
    assert answers[0] in (FIRST, SECOND)


def test_answer_that_cannot_be_read_is_a_tie_and_is_told(tmp_path, caplog):
    first, second, samples = pairs(3)
    with caplog.at_level(logging.WARNING, "genever"):
        found = judge(save(tmp_path, is_legible=False)).prefers(first, second, samples)
    assert found.tolist() == [0.5] * 3
    assert "gave 3 of 3 answers that cannot be read, so they count as ties, such as '" in caplog.text


@pytest.mark.parametrize(
    ("answer", "preference"),
    [
        (FIRST, 1.0),
        (SECOND, 0.0),
        ('{"better": "tie"}', 0.5),
        ('```json\n{"why": {"a": [1]}, "better": " First "}\n```', 1.0),
        ('{"better": "first"}? No: {"better": "second"}.', 0.0),
        ('{"better": "both"}', None),
        ('{"better": 1}', None),
        ('{"best": "first"}', None),
        ('{"better": "first"', None),
        ('["first"]', None),
        ("The first one.", None),
        ("{" * 5000, None),
        ("", None),
    ],
)
def test_answer_says_which_is_better(answer, preference):
    assert preference_in(answer) == preference


@pytest.mark.parametrize("path", ["no/such", "."])
def test_folder_without_a_model_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"^judge\.LanguageModel\.path = '{path}' holds no config\.json\. Give a local"):
        judge(path)


def test_model_that_nobody_can_talk_to_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"judge\.LanguageModel\.path = .* does not say how images and text are told"):
        judge(save(tmp_path, chat=None)).prefers(*pairs(1))


def test_images_of_two_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sees images of 1 or 3 channels, but train\.data has 2\."):
        LanguageModel(path=save(tmp_path)).build(toy_composition(data=ToyData(channels=2)))
