"""A tiny random model: what it answers is worked out token by token."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from genever_plugins.rewriter.language_model import LanguageModel
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers import PreTrainedTokenizerFast as Fast

WORDS = (
    "<unk>",
    "</s>",
    "<pad>",
    "\n",
    *"abcdefghijklmnopqrstuvwxyz",
    "red",
    "circle",
    "large",
    "[system]",
    "[user]",
    "[answer]",
)
CHAT = (
    "{% for one in messages %}[{{ one.role }}] {{ one.content }} {% endfor %}{% if not enable_thinking %}[answer]{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT


def save(folder: Path, chat: str | None = None) -> None:
    torch.manual_seed(1)
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    wrapped = Fast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    wrapped.chat_template = chat
    wrapped.save_pretrained(folder)
    size = {"vocab_size": len(words), "n_positions": 32, "n_embd": 32, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=1, eos_token_id=1, initializer_range=2.0))
    model.generation_config = GenerationConfig(do_sample=True, temperature=3.0, top_k=5, top_p=0.9, eos_token_id=1)
    model.save_pretrained(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def most_likely(folder: Path, text: str, num: int) -> str:
    """The likeliest word after a text, and so on."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    answer: list[int] = []
    while len(answer) < num and 1 not in answer:
        answer.append(int(model(torch.tensor([ids + answer])).logits[0, -1].argmax()))
    return tokenizer.decode(answer, skip_special_tokens=True)


def ask(folder: Path, prompt: str, **said: Any) -> str:
    (answer,) = LanguageModel(path=str(folder), system_prompt="a b", **said).build()([prompt])
    return answer


def test_model_without_a_chat_template_goes_on_with_instruction_and_prompt(folder):
    asked = "a b\n\nPrompt: red circle\nNew prompt:"
    expected = most_likely(folder, asked, 6)
    assert len(set(expected.split(" "))) > 2, "The toy says nothing."
    assert ask(folder, "red circle", max_new_tokens=6) == expected.lstrip().partition("\n")[0]


@pytest.mark.parametrize(
    ("chat", "asked"), [(CHAT, "[system] a b [user] red circle [answer]"), (NO_SYSTEM, "[user] a b\n\nred circle [answer]")]
)
def test_model_with_a_chat_template_is_talked_to_in_it(tmp_path, chat, asked):
    save(tmp_path, chat)
    assert ask(tmp_path, "red circle", max_new_tokens=6) == most_likely(tmp_path, asked, 6)


def test_answer_does_not_follow_from_the_date(tmp_path):
    save(tmp_path / "dated", CHAT + "{{ strftime_now('%Y') }}")
    save(tmp_path / "plain", CHAT)
    assert ask(tmp_path / "dated", "red circle") == ask(tmp_path / "plain", "red circle")


def test_answer_is_greedy_whatever_the_models_settings_say_and_nothing_complains(folder, capfd):
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = {ask(folder, "red circle", max_new_tokens=8) for _ in range(3)}
    assert len(answers) == 1
    assert torch.equal(torch.get_rng_state(), before)
    assert "generation flags" not in capfd.readouterr().err


def test_answer_ends_where_the_models_positions_end(tmp_path):
    save(tmp_path, CHAT)
    asked = f"[system] a b [user] {'red ' * 22}circle [answer]"
    assert len(asked.split()) == 28
    assert ask(tmp_path, "red " * 22 + "circle") == most_likely(tmp_path, asked, 4)
    assert ask(tmp_path, "red " * 26 + "circle") == ""


def test_weights_are_not_read_before_a_prompt_is_asked_for(folder):
    (folder / "model.safetensors").unlink()
    rewriter = LanguageModel(path=str(folder)).build()
    assert rewriter.fingerprint
    assert rewriter([]) == []
    with pytest.raises(OSError, match="model"):
        rewriter(["red circle"])


def test_fingerprint_follows_from_the_files(folder):
    def fingerprint() -> str:
        return LanguageModel(path=str(folder)).build().fingerprint

    before = fingerprint()
    assert fingerprint() == before
    os.utime(folder / "model.safetensors", ns=(0, 0))
    assert fingerprint() != before


@pytest.mark.parametrize("path", ["no/such", "no such folder", "."])
def test_model_that_cannot_be_found_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=rf"^rewriter\.LanguageModel\.path = '{path}' cannot be read: .*\. Give a local folder"
    ):
        LanguageModel(path=path).build()
