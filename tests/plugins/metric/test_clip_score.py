import json

import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.clip_score import CLIPScore
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

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


def score(toy, path, images, captions=CAPTIONS):
    composition = toy.compose(data=toy.gaussian(mean=(0.0,) * images.shape[1], side=8, num=8))
    evaluation = Evaluation(composition=composition, model=None, solver=None, guidance=None, num_samples=len(images))
    evaluation._made.append(Samples(images=images, captions=captions))
    return CLIPScore(path=str(path)).measure(evaluation)["clip_score"]


def pictures(height=8, width=8, channels=3):
    return torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_clip_score_is_the_mean_cosine_of_the_two_towers_by_hand(toy, clip):
    model, ids = CLIPModel.from_pretrained(clip).eval(), {word: n for n, word in enumerate(WORDS)}
    cosines = []
    for image, caption in zip(pictures(), CAPTIONS, strict=True):
        tokens = torch.tensor([[2, *(ids[word] for word in caption.split()), 1]])
        found = model(input_ids=tokens, pixel_values=image[None])  # [-1, 1] is what mean and std of a half make of [0, 1].
        cosines.append((found.image_embeds * found.text_embeds).sum().clamp(min=0).item())
    assert max(cosines) > 0
    assert score(toy, clip, pictures()) == pytest.approx(100 * sum(cosines) / 3, rel=1e-4)


def test_clip_score_sees_the_middle_of_a_wide_image_and_grey_as_three_channels(toy, clip):
    wide = torch.cat([torch.ones(3, 1, 8, 2), pictures(channels=1), -torch.ones(3, 1, 8, 2)], dim=3)
    assert score(toy, clip, wide) == pytest.approx(score(toy, clip, pictures(channels=1).expand(-1, 3, -1, -1)))


def test_clip_score_refuses_what_it_cannot_read(toy, clip, tmp_path):
    with pytest.raises(ValueError, match=r"^metric\.CLIPScore\.path = .*nowhere' holds no config\.json\. Give a local"):
        score(toy, tmp_path / "nowhere", pictures())
    with pytest.raises(ValueError, match=r"^metric\.CLIPScore sees images of 1 or 3 channels, but train\.data has 2\."):
        score(toy, clip, pictures(channels=2))
    (tmp_path / "config.json").write_text((clip / "config.json").read_text())
    with pytest.raises(ValueError, match=r"^metric\.CLIPScore\.tokenizer = .* holds no tokenizer_config\.json\."):
        score(toy, tmp_path, pictures())
