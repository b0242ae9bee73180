from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.errors import UserError
from genever.runs import RunDirectory
from genever.testing import ToyData, take_steps
from genever.training import Trainer, compose, load_model_state
from genever_plugins.average.constant import Constant
from genever_plugins.conditioner.text import Text
from genever_plugins.data.captioned import Captioned
from genever_plugins.optimizer.adamw import AdamW
from genever_plugins.tuner.textual_inversion import TextualInversion
from safetensors.torch import load_file

WORD = {"placeholder": "<thing>", "init": "low"}
THINGS = Captioned(data=ToyData(), captions=("a <thing>", "one <thing> of many"))


class Runs:
    """`genever.training.Runs`: the start has learned from the toy data's captions."""

    def __init__(self, toy):
        self.toy = toy

    def open(self, name, device):
        return self.toy.compose(data=ToyData())


TEXT = Text(width=8, heads=2, depth=1, max_length=8, dropout=0.0)


def inverting(toy, *, data=THINGS, runs=None, start="toy", **given):
    part = TextualInversion(**{**WORD, **given})
    return toy.compose(data=data, start=start, tuner=part, conditioner=TEXT, batch_size=8, runs=runs)


def read(composition, *captions):
    samples = replace(composition.data.fetch(range(len(captions))), captions=captions)
    return composition.conditioner(composition.conditioner.prepare(samples))


def started(composition):
    return composition.rounds()[0].start({})


def test_textual_inversion_learns_its_vectors_and_changes_no_other_bit(toy, tmp_path):
    composition, run = inverting(toy, num_vectors=2), RunDirectory.create(tmp_path, "toy", "0" * 8, {})
    before = {name: one.clone() for name, one in composition.model.state_dict().items()}
    learning = {"optimizer": AdamW(lr=1e-2, weight_decay=0.5), "averages": {"ema": Constant(decay=0.5)}, "steps": 3}
    composition.stage = replace(composition.stage, sample_images=0, validate_samples=0, **learning)
    Trainer(composition=composition, run=run).train()
    after = composition.model.state_dict()
    assert {name for name, one in before.items() if not torch.equal(after[name], one)} == {"conditioner.added"}
    averaged = load_model_state(run, 3, "ema")
    assert {name for name, one in before.items() if not torch.equal(averaged[name], one)} == {"conditioner.added"}
    assert not torch.equal(averaged["conditioner.added"], after["conditioner.added"])


def test_textual_inversion_starts_as_the_word_that_it_is_told(toy):
    composition = inverting(toy)
    new, old = read(composition, "a <thing> of many"), read(composition, "a low of many")
    assert torch.equal(new.tokens, old.tokens)
    assert torch.equal(new.pooled, old.pooled)


def test_textual_inversion_leaves_captions_without_the_word_as_they_were(toy):
    composition = inverting(toy)
    before = read(composition, "a low one", "many things")
    new = read(composition, "a <thing>")
    take_steps(started(composition), composition, 2)
    assert torch.equal(read(composition, "a low one", "many things").tokens, before.tokens)
    assert not torch.equal(read(composition, "a <thing>").tokens, new.tokens)


def test_textual_inversion_gradient_is_that_of_a_known_words_embedding(toy):
    composition = inverting(toy)
    plain = inverting(toy, data=Captioned(data=ToyData(), captions=("a low", "one low of many")), start=None)
    plain.model.requires_grad_(True)
    for one in (composition, plain):
        started(one).losses(next(one.feed().at(0)), 0)["loss"].backward()
    table = plain.conditioner.first.weight.grad
    row = plain.conditioner.prepare(plain.data.fetch([0]))[0, 2] // len(table)
    torch.testing.assert_close(composition.conditioner.added.grad[0], table[row])


def test_textual_inversion_of_several_vectors_takes_as_many_tokens(toy):
    composition = inverting(toy, num_vectors=3)
    assert read(composition, "a <thing>").mask.tolist() == [[True] * 5 + [False] * 3]
    assert composition.conditioner.added.shape == (3, 8)
    with torch.no_grad():
        composition.conditioner.added[1] += 1
    assert not torch.equal(read(composition, "<thing>").tokens[:, 1], read(inverting(toy), "<thing>").tokens[:, 1])


def test_textual_inversion_finds_its_word_whatever_it_is_written_with(toy):
    composition = inverting(toy, placeholder="Sks", data=Captioned(data=ToyData(), captions=("a sks",)))
    same = read(composition, "a sks one", "a SKS one").tokens
    assert torch.equal(same[0], same[1])
    assert read(composition, "skss").mask.sum() == 2
    assert not torch.equal(read(composition, "skss").tokens, read(composition, "sks").tokens)


def test_textual_inversion_exports_its_vectors_under_the_word(toy, tmp_path):
    composition = inverting(toy, num_vectors=2)
    composition.tuned.export(tmp_path / "out")
    saved = load_file(tmp_path / "out" / "learned_embeds.safetensors")
    assert list(saved) == ["<thing>"]
    assert torch.equal(saved["<thing>"], composition.conditioner.added)


def test_textual_inversion_of_a_word_that_exists_is_refused(toy):
    data = Captioned(data=ToyData(), captions=("a middle",))
    with pytest.raises(ValueError, match=r"placeholder = 'middle' is a word that the model knows\. .*'<middle>'\."):
        inverting(toy, placeholder="middle", runs=Runs(toy), data=data)


class Gone:
    def open(self, name, device):
        raise UserError("there is no such run.")


def test_textual_inversion_of_a_word_that_exists_is_refused_before_there_are_weights(toy):
    stage = inverting(toy, placeholder="middle", data=Captioned(data=ToyData(), captions=("a middle",))).stage
    with pytest.raises(ValueError, match="is a word that the model knows"):
        compose(stage, device=torch.device("meta"), runs=Runs(toy))
    assert compose(stage, device=torch.device("meta"), runs=Gone()).tuned.learns


def test_textual_inversion_from_a_word_that_does_not_exist_is_refused(toy):
    with pytest.raises(ValueError, match=r"init = 'midle' is not a word that the model knows\. Did you mean middle\?"):
        inverting(toy, init="midle", runs=Runs(toy))
    with pytest.raises(ValueError, match=r"init = 'zebra' is not .*\. Choose one of the captions that it has learned"):
        inverting(toy, init="zebra", runs=Runs(toy))
    assert inverting(toy, init="Middle", runs=Runs(toy)).tuned.learns


def test_textual_inversion_of_a_word_that_no_caption_says_is_refused(toy):
    with pytest.raises(ValueError, match=r"^No caption of train\.data says .*'<dog>'; the first is 'a <thing>'\. Write it"):
        inverting(toy, placeholder="<dog>")


def test_textual_inversion_goes_on_where_its_start_is_gone(toy):
    assert inverting(toy, start=None, init="zebra", data=ToyData()).tuned.learns


@pytest.mark.parametrize(("name", "word"), [("placeholder", "my thing"), ("init", " ")])
def test_textual_inversion_wants_single_words(name, word):
    with pytest.raises(ValueError, match=rf"^tuner\.TextualInversion\.{name} = '{word}' is not one word\. Write one"):
        TextualInversion(**{**WORD, name: word})


def test_textual_inversion_cannot_be_merged(toy):
    composition = inverting(toy)
    with pytest.raises(ValueError, match=r"nothing but the word '<thing>', .* Start from the run that it started from\."):
        composition.tuned.merge()
