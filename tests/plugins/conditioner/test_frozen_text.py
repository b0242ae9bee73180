from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from genever.values import ConditionSpec, DataSpec
from genever_plugins.conditioner.frozen_text import FrozenText
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

DATA = DataSpec(channels=1, height=2, width=2, captions=True)
WORDS = {"<pad>": 0, "</s>": 1, "<s>": 2, "<unk>": 3, "a": 4, "red": 5, "blue": 6, "square": 7}


def save_tokenizer(folder: Path, template: str, pad: str) -> None:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(token, WORDS[token]) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token="</s>", bos_token="<s>", unk_token="<unk>"
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """CLIP's habits: begin and end tokens, padding with the end token."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    config = CLIPTextConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=10,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=1,
    )
    CLIPTextModel(config).save_pretrained(folder)
    save_tokenizer(folder, "<s> $A </s>", pad="</s>")
    return folder


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Path:
    """T5's habits: an end token, padding with zeros; the tokenizer in a folder of its own."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("t5")
    config = T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder / "text_encoder")
    save_tokenizer(folder / "tokenizer", "$A </s>", pad="<pad>")
    return folder


def build(folder: Path, max_length: int = 6):
    if (folder / "tokenizer").is_dir():
        part = FrozenText(path=str(folder / "text_encoder"), tokenizer=str(folder / "tokenizer"), max_length=max_length)
    else:
        part = FrozenText(path=str(folder), max_length=max_length)
    return part.build(DATA)


@pytest.fixture(params=["clip", "t5"])
def folder(request) -> Path:
    return request.getfixturevalue(request.param)


def test_clip_gives_tokens_and_pooled_and_masks_its_padding(clip, captioned):
    module = build(clip)
    cond = module.prepare(captioned("a red square", "blue"))
    condition = module(cond)
    assert module.spec == ConditionSpec(text_width=16, text_length=6, pooled_width=16)
    assert cond[:, 0].tolist() == [[2, 4, 5, 7, 1, 1], [2, 6, 1, 1, 1, 1]]
    assert condition.mask.tolist() == [[True] * 5 + [False], [True] * 3 + [False] * 3]
    alone = CLIPTextModel.from_pretrained(clip)(torch.tensor([[2, 6, 1]]))
    torch.testing.assert_close(condition.tokens[1:, :3], alone.last_hidden_state)
    torch.testing.assert_close(condition.pooled[1:], alone.last_hidden_state[:, 2])


def test_t5_gives_tokens_alone(t5, captioned):
    module = build(t5)
    condition = module(module.prepare(captioned("a red square", "blue")))
    assert module.spec == ConditionSpec(text_width=16, text_length=6)
    assert condition.pooled is None
    alone = T5EncoderModel.from_pretrained(t5 / "text_encoder")(torch.tensor([[6, 1]]))
    torch.testing.assert_close(condition.tokens[1:, :2], alone.last_hidden_state)


def test_frozen_text_null_is_the_empty_caption(folder, captioned):
    module = build(folder)
    cond = module.prepare(captioned("a red square", "blue"))
    assert torch.equal(module.null(cond), module.prepare(captioned("", "")))
    assert module(module.null(cond)).mask.any(1).all()


def test_frozen_text_cuts_long_captions(folder, captioned):
    module = build(folder, max_length=3)
    cond = module.prepare(captioned("a red square blue a", "a"))
    assert cond.shape == (2, 2, 3)
    assert cond[0, 0, -1] == WORDS["</s>"]


def test_frozen_text_owns_no_weights_and_copies_share_the_encoder(folder, captioned):
    module = build(folder)
    assert not module.state_dict()
    assert not list(module.parameters())
    assert copy.deepcopy(module).borrowed.encoder is module.borrowed.encoder
    assert not any(parameter.requires_grad for parameter in module.borrowed.encoder.parameters())
    assert not module.train().borrowed.encoder.training
    assert not module(module.prepare(captioned("a"))).tokens.requires_grad


def test_frozen_text_moves_its_encoder_along(folder):
    assert next(build(folder).to("meta").borrowed.encoder.parameters()).is_meta


def test_frozen_text_is_not_read_on_the_meta_device(folder):
    with torch.device("meta"):
        module = build(folder)
    assert next(module.borrowed.encoder.parameters()).is_meta
    assert module.spec.text_width == 16


def test_frozen_text_that_is_missing_is_named(clip, tmp_path):
    with pytest.raises(ValueError, match=r"^conditioner\.FrozenText\.path = '.*none' holds no config\.json\. Give a local"):
        FrozenText(path=str(tmp_path / "none")).build(DATA)
    with pytest.raises(ValueError, match=r"^conditioner\.FrozenText\.tokenizer = '.*none' holds no tokenizer_config"):
        FrozenText(path=str(clip), tokenizer=str(tmp_path / "none")).build(DATA)


def test_frozen_text_of_another_kind_is_named(clip, tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds a 'bert' model\. Known are 'clip', 'clip_text_model', 't5'\."):
        FrozenText(path=str(tmp_path), tokenizer=str(clip)).build(DATA)


def test_frozen_text_longer_than_its_positions_is_named(clip):
    with pytest.raises(ValueError, match=r"max_length = 77, but '.*' reads 10 tokens at most\. Set it to 10 or less\."):
        FrozenText(path=str(clip)).build(DATA)


def test_frozen_text_without_captions_is_refused(clip):
    with pytest.raises(ValueError, match=r"^conditioner\.FrozenText needs captions, but the data has none\."):
        FrozenText(path=str(clip)).build(DataSpec(channels=1, height=2, width=2))
