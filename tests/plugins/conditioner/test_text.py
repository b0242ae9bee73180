from __future__ import annotations

import warnings

import pytest
import torch
from genever.values import ConditionSpec, DataSpec
from genever_plugins.conditioner.text import Text
from genever_plugins.conditioner.words import BEGIN, NUM_ROWS, PAD, number_of, tokenize

DATA = DataSpec(channels=1, height=2, width=2, captions=True)


def encoder(**parameters):
    torch.manual_seed(0)
    return Text(**{"width": 16, "heads": 2, "max_length": 8, **parameters}).build(DATA)


def test_words_are_numbered_alike_in_every_process():
    # 2 + (the word's b2sum of 64 bits) mod (1024² - 2), by coreutils.
    numbers = [457298, 512747, 366688, 481707, 1005845, 908736]
    assert tokenize(["Three red circles, left."], 8).tolist() == [[BEGIN, *numbers, PAD]]
    assert torch.equal(tokenize(["THREE  red\tcircles , left ."], 8), tokenize(["Three red circles, left."], 8))


def test_words_do_not_meet_in_a_vocabulary_of_thousands():
    numbers = [number_of(f"word{i}") for i in range(1000)]
    assert len(set(numbers)) == 1000
    assert min(numbers) > max(PAD, BEGIN)
    assert max(numbers) < NUM_ROWS**2


def test_long_captions_are_cut_and_a_warning_says_so():
    with pytest.warns(
        UserWarning, match=r"^Captions of more than 2 words and .* are cut\. Raise conditioner\.Text\.max_length"
    ):
        tokens = tokenize(["a red square", "a red"], 3)
    assert torch.equal(tokens[0], tokens[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenize(["a red"], 3)


def test_text_tells_word_order_and_pools_its_tokens(captioned):
    module = encoder()
    condition = module(module.prepare(captioned("red left of blue", "blue left of red")))
    assert module.spec == ConditionSpec(text_width=16, text_length=8, pooled_width=16)
    assert condition.mask.tolist() == [[True] * 5 + [False] * 3] * 2
    torch.testing.assert_close(condition.pooled, condition.tokens[:, :5].mean(1))
    assert (condition.pooled[0] - condition.pooled[1]).abs().max() > 1e-5
    assert not condition.tokens[:, 5:].any()


def test_text_padding_makes_no_difference(captioned):
    long, short = encoder(max_length=8), encoder(max_length=4)
    weights = long.state_dict()
    short.load_state_dict({**weights, "positions": weights["positions"][:4]})
    captions = captioned("a red square")
    first, second = long(long.prepare(captions)), short(short.prepare(captions))
    torch.testing.assert_close(first.tokens[:, :4], second.tokens)
    torch.testing.assert_close(first.pooled, second.pooled)


def test_text_null_is_the_empty_caption(captioned):
    module = encoder()
    cond = module.prepare(captioned("a red square", "blue"))
    assert torch.equal(module.null(cond), module.prepare(captioned("", " ")))
    assert module(module.null(cond)).tokens.isfinite().all()


def test_text_learns_every_weight(captioned):
    module = encoder()
    condition = module(module.prepare(captioned("a red square", "two blue circles above a green one")))
    (condition.tokens.pow(3).sum() + condition.pooled.pow(3).sum()).backward()
    assert [name for name, p in module.named_parameters() if not p.grad.abs().sum()] == []


def test_text_without_captions_is_refused():
    with pytest.raises(ValueError, match=r"^conditioner\.Text needs captions, but the data has none\."):
        Text().build(DataSpec(channels=1, height=2, width=2))


def test_text_width_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"^conditioner\.Text\.width = 10 is not a multiple of .*heads = 4\."):
        Text(width=10)
