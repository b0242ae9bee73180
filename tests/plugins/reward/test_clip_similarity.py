from __future__ import annotations

import json

import pytest
import torch
from genever.testing import ToySolver
from genever.training import sample
from genever.values import Samples
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.data.captioned import Captioned
from genever_plugins.guidance.reward_guidance import RewardGuidance
from genever_plugins.reward.clip_similarity import CLIPSimilarity
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

WORDS = ("<unk>", "</s>", "<s>", "a", "low", "high", "one")
TOWER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {"vocab_size": len(WORDS), "max_position_embeddings": 6, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 1}
CAPTIONS = ("a low one", "a high one", "high")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    vision = {**TOWER, "image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(vision_config=vision, text_config={**TOWER, **TEXT}, projection_dim=8)).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<s>", 2), ("</s>", 1)]
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="</s>", eos_token="</s>").save_pretrained(folder)
    centred = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(centred))
    return folder


def captioned(toy, channels=3, **parts):
    data = toy.gaussian(mean=(0.0,) * channels, side=8, num=12)
    return toy.compose(data=Captioned(data=data, captions=CAPTIONS), **parts)


def cosines(toy, clip, images):
    reward = CLIPSimilarity(path=str(clip)).build(captioned(toy, images.shape[1]))
    return reward(images, Samples(images=images, captions=CAPTIONS))


def by_hand(clip, images):
    """Of images as the tower takes them: [-1, 1] is what mean and deviation of a half make of [0, 1]."""
    model, ids = CLIPModel.from_pretrained(clip).eval(), {word: n for n, word in enumerate(WORDS)}
    tokens = [torch.tensor([[2, *(ids[word] for word in caption.split()), 1]]) for caption in CAPTIONS]
    found = [model(input_ids=one, pixel_values=image[None]) for one, image in zip(tokens, images, strict=True)]
    return torch.cat([(one.image_embeds * one.text_embeds).sum(1) for one in found])


def pictures(height=8, width=8, channels=3):
    return torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_clip_similarity_is_the_cosine_of_the_two_towers_by_hand(toy, clip):
    torch.testing.assert_close(cosines(toy, clip, pictures()), by_hand(clip, pictures()))
    assert cosines(toy, clip, pictures()).diff().abs().min() > 1e-3


def test_clip_similarity_sees_the_middle_of_a_wide_image_and_grey_as_three_channels(toy, clip):
    wide = torch.cat([torch.ones(3, 1, 8, 2), pictures(channels=1), -torch.ones(3, 1, 8, 2)], dim=3)
    torch.testing.assert_close(cosines(toy, clip, wide), by_hand(clip, pictures(channels=1).expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("contrast", [1.0, 2.0])
def test_clip_similarity_cuts_off_what_resizing_adds_and_nothing_else(toy, clip, contrast):
    checks = contrast * (torch.arange(16).view(4, 4) // 2 % 2 * 2.0 - 1).expand(3, 3, -1, -1)
    larger = functional.interpolate(checks, (8, 8), mode="bicubic", antialias=True)
    assert larger.max() > contrast
    torch.testing.assert_close(cosines(toy, clip, checks), by_hand(clip, larger.clamp(-contrast, contrast)))


@pytest.mark.parametrize(("side", "contrast"), [(8, 1.0), (8, 3.0), (5, 3.0)])
def test_clip_similarity_has_the_slope_of_its_differences_beyond_black_and_white_too(toy, clip, side, contrast):
    reward = CLIPSimilarity(path=str(clip)).build(captioned(toy)).double()
    images = (contrast * pictures(side, side)).double().requires_grad_()
    way = torch.randn(images.shape, generator=torch.Generator().manual_seed(2)).double()
    ahead, behind = (reward(images + step * way, Samples(images=images, captions=CAPTIONS)) for step in (1e-5, -1e-5))
    (slope,) = torch.autograd.grad(reward(images, Samples(images=images, captions=CAPTIONS)).sum(), images)
    torch.testing.assert_close((slope * way).sum((1, 2, 3)), (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-8)
    assert slope.abs().min() > 0


def test_clip_similarity_teaches_nobody(toy, clip):
    reward = CLIPSimilarity(path=str(clip)).build(captioned(toy))
    assert not any(one.requires_grad for one in reward.parameters())


class Centred(torch.nn.Module):
    """The exact velocity towards Normal(0, 0.5²), whatever is asked for."""

    def forward(self, x, t, cond):
        t = t.view(-1, 1, 1, 1)
        return (0.25 * t - (1 - t)) / (0.25 * t**2 + (1 - t) ** 2) * x, ()


def test_samples_that_clip_guides_are_nearer_to_their_captions_than_without(toy, clip):
    part = CLIPSimilarity(path=str(clip))
    composition = captioned(toy, conditioner=Unconditional(), guidance=RewardGuidance(reward=part, scale=300.0))
    solver, reward = ToySolver(num_steps=10), part.build(composition)
    plain, guided = (
        sample(composition, Centred(), range(12), solver=solver, guidance=one) for one in (None, composition.guidance)
    )
    gain = reward(guided.images, guided) - reward(plain.images, plain)
    assert gain.min() > 0
    assert gain.mean() > 0.1


def test_clip_that_guides_without_knowing_what_was_asked_for_is_refused(toy, clip):
    composition = captioned(toy, guidance=RewardGuidance(reward=CLIPSimilarity(path=str(clip))))
    cond = composition.conditioner.prepare(composition.data.fetch(range(2)))
    with pytest.raises(ValueError, match=r"reads captions, but whoever guides here does not know .* Leave the guidance out"):
        composition.field_of(composition.model, cond, composition.guidance).velocity(pictures()[:2], 0.5)


def test_clip_similarity_refuses_what_it_cannot_read(toy, clip, tmp_path):
    with pytest.raises(ValueError, match=r"^reward\.CLIPSimilarity\.path = .*nowhere' holds no config\.json\. Give a local"):
        cosines(toy, tmp_path / "nowhere", pictures())
    with pytest.raises(ValueError, match=r"^reward\.CLIPSimilarity sees images of 1 or 3 channels, but train\.data has 2\."):
        cosines(toy, clip, pictures(channels=2))
    (tmp_path / "config.json").write_text((clip / "config.json").read_text())
    with pytest.raises(ValueError, match=r"^reward\.CLIPSimilarity\.tokenizer = .* holds no tokenizer_config\.json\."):
        cosines(toy, tmp_path, pictures())


def test_clip_similarity_refuses_a_model_of_one_tower(toy, tmp_path):
    CLIPTextModel(CLIPTextConfig(**TOWER, **TEXT)).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"\.path = .* holds a 'clip_text_model' model, not two towers\. Name"):
        cosines(toy, tmp_path, pictures())


def test_clip_similarity_is_built_without_its_weights_where_nothing_is_to_be_allocated(toy, clip):
    composition = captioned(toy)
    composition.device = torch.device("meta")
    reward = CLIPSimilarity(path=str(clip)).build(composition)
    assert {one.device.type for one in reward.parameters()} == {"meta"}
