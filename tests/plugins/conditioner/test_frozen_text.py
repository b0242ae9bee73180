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


def taught(folder: Path, *, num_vectors: int = 1, init: str = "red"):
    """The conditioner with '<thing>' beside it, its vectors away from their start."""
    module = build(folder, max_length=8)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        module.add_word("<thing>", init, num_vectors).add_(torch.randn(num_vectors, 16, generator=generator))
    return module


def test_frozen_text_reads_an_added_word_as_one_of_its_own(folder, captioned):
    module, enlarged = taught(folder), build(folder, max_length=8)
    table = enlarged.borrowed.encoder.resize_token_embeddings(9, mean_resizing=False)
    with torch.no_grad():
        table.weight[8] = module.added[0]
    cond = module.prepare(captioned("a <thing> square", "blue"))
    assert cond[0, 0].tolist()[:5].count(8) == 1
    mine, its = module(cond), enlarged(cond)
    torch.testing.assert_close(mine.tokens, its.tokens)
    assert mine.pooled is None or torch.allclose(mine.pooled, its.pooled)


def test_frozen_text_starts_an_added_word_as_the_one_it_is_told(folder, captioned):
    module = build(folder, max_length=8)
    vectors = module.add_word("<thing>", "red", 1)
    new, old = (module(module.prepare(captioned(caption))) for caption in ("a <thing> square", "a red square"))
    assert torch.equal(new.tokens, old.tokens)
    assert vectors.requires_grad


def test_frozen_text_gives_a_gradient_to_an_added_word_alone(folder, captioned):
    module = taught(folder)
    module(module.prepare(captioned("a <thing>", "red"))).tokens.square().sum().backward()
    assert dict(module.named_parameters()).keys() == {"added"} == module.state_dict().keys()
    assert module.added.grad.abs().sum() > 0
    assert all(one.grad is None for one in module.borrowed.encoder.parameters())


def test_frozen_text_reads_other_words_as_before_it_was_taught(folder, captioned):
    plain, module = build(folder, max_length=8), taught(folder)
    conds = [one.prepare(captioned("a red square", "")) for one in (plain, module)]
    assert torch.equal(*conds)
    assert torch.equal(plain(conds[0]).tokens, module(conds[1]).tokens)


def test_frozen_text_spells_a_word_of_several_vectors(folder, captioned):
    module = taught(folder, num_vectors=2)
    ids = module.prepare(captioned("a <thing>"))[0, 0].tolist()
    assert [one for one in ids if one >= 8] == [8, 9]
    before = module(module.prepare(captioned("a <thing>"))).tokens
    with torch.no_grad():
        module.added[1] += 1
    assert not torch.equal(module(module.prepare(captioned("a <thing>"))).tokens, before)


@pytest.mark.parametrize("num_vectors", [1, 2])
@pytest.mark.parametrize("word", ["zor", "<z>", r"z\1r"])
def test_frozen_text_reads_an_added_word_within_no_other(folder, captioned, word, num_vectors):
    module = build(folder, max_length=10)
    module.add_word(word, "red", num_vectors)
    own = [*range(8, 8 + num_vectors)]
    found, plain = (module.prepare(captioned(caption))[0, 0].tolist() for caption in (f"{word} a {word}, red", "a red"))
    assert [one for one in found if one in (*own, 4, 5)] == [*own, 4, *own, 5]
    assert not {*own} & {*plain}
    within = module.prepare(captioned(f"a ra{word} a {word}s"))[0, 0].tolist()
    assert ({*own} & {*within} == set()) == word.startswith("z")


def test_clip_pools_at_its_end_where_that_has_the_largest_id(clip, tmp_path, captioned):
    config = CLIPTextConfig.from_pretrained(clip, eos_token_id=2, bos_token_id=1)
    encoder = CLIPTextModel(config)
    encoder.save_pretrained(tmp_path)
    save_tokenizer(tmp_path, "<s> $A </s>", pad="</s>")
    module = build(tmp_path, max_length=8)
    module.add_word("<thing>", "red", 1)
    new, old = (module(module.prepare(captioned(caption))).pooled for caption in ("a <thing>", "a red"))
    assert torch.equal(new, old)


def test_frozen_text_knows_what_is_one_token(folder):
    module = build(folder)
    assert module.knows("red", ())
    assert not any(module.knows(word, ("green",)) for word in ("green", "red square", "<thing>"))
    module.add_word("<thing>", "red", 1)
    assert module.knows("<thing>", ())


def test_copies_of_a_taught_conditioner_have_vectors_of_their_own(folder, captioned):
    module = taught(folder)
    other = copy.deepcopy(module)
    cond = module.prepare(captioned("a <thing>"))
    before = module(cond).tokens
    with torch.no_grad():
        other.added.zero_()
    assert torch.equal(module(cond).tokens, before)
    assert not torch.equal(other(cond).tokens, before)
