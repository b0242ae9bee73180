import json
from dataclasses import replace

import pytest
import torch
from genever.slots import EncoderModule
from genever_plugins.encoder.pretrained import Pretrained
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 4, "image_size": 24}


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(mlp_ratio=2, **TINY)).save_pretrained(folder)
    return folder


@pytest.fixture
def wide(toy):
    """Grey images of 8 x 16 pixels."""
    images = torch.rand(4, 1, 8, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return toy.compose(data=replace(toy.gaussian(), images=images))


def images_of(composition):
    return composition.data.fetch(range(4)).images


@pytest.mark.parametrize("grid", [(2, 4), (1, 1), (3, 3)])
def test_pretrained_gives_tokens_on_the_asked_grid(dinov2, wide, grid):
    module = Pretrained(path=str(dinov2)).build(wide, grid)
    assert isinstance(module, EncoderModule)
    assert module.width == 16
    assert module.eval()(images_of(wide)).shape == (4, grid[0] * grid[1], 16)


def test_pretrained_tokens_are_the_models_patches_of_the_normalised_image(dinov2, wide):
    images = images_of(wide)
    model = Dinov2Model.from_pretrained(dinov2).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = ((images.expand(-1, 3, -1, -1) + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    hidden = model(pixel_values=shown).last_hidden_state
    patches = Pretrained(path=str(dinov2)).build(wide, (2, 4)).eval()(images)
    torch.testing.assert_close(patches, hidden[:, 1:])


def test_pretrained_gives_its_class_token_for_a_whole_image(dinov2, wide):
    module = Pretrained(path=str(dinov2), height=8).build(wide, (1, 1)).eval()
    assert module.patches == (2, 4)
    hidden = module.model(pixel_values=module._shown(images_of(wide))).last_hidden_state
    assert torch.equal(module(images_of(wide)), hidden[:, :1])


def test_pretrained_pools_finer_patches_to_the_grid(dinov2, wide):
    module = Pretrained(path=str(dinov2), height=16).build(wide, (2, 4)).eval()
    assert module.patches == (4, 8)
    assert module(images_of(wide)).shape == (4, 8, 16)


def test_pretrained_is_shown_the_normalisation_of_its_folder(dinov2, wide, tmp_path):
    for file in dinov2.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    module = Pretrained(path=str(tmp_path)).build(wide, (2, 4))
    torch.testing.assert_close(module._shown(images_of(wide)), images_of(wide).expand(-1, 3, -1, -1))


def test_pretrained_lets_a_gradient_through(dinov2, wide):
    module = Pretrained(path=str(dinov2)).build(wide, (2, 4)).requires_grad_(False)
    images = images_of(wide).requires_grad_()
    module(images).sum().backward()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["clip", "vit"])
def test_pretrained_reads_other_families(kind, wide, tmp_path):
    tower = {**TINY, "intermediate_size": 32}
    if kind == "clip":
        CLIPModel(CLIPConfig(vision_config=tower, text_config={**tower, "vocab_size": 9})).save_pretrained(tmp_path)
    else:
        ViTModel(ViTConfig(**tower)).save_pretrained(tmp_path)
    module = Pretrained(path=str(tmp_path)).build(wide, (2, 4)).eval()
    assert module(images_of(wide)).shape == (4, 8, 16)


def test_pretrained_on_the_meta_device_reads_no_weights(dinov2, wide):
    meta = replace(wide, device=torch.device("meta"))
    with torch.device("meta"):
        module = Pretrained(path=str(dinov2)).build(meta, (2, 4))
    assert all(p.is_meta for p in module.parameters())


def test_pretrained_names_its_key_where_there_is_no_such_folder(wide, tmp_path):
    with pytest.raises(ValueError, match=r"Pretrained\.path = '.*nowhere' is not a folder that holds config\.json"):
        Pretrained(path=str(tmp_path / "nowhere")).build(wide, (1, 1))


def test_pretrained_refuses_images_that_it_cannot_see(dinov2, toy):
    with pytest.raises(ValueError, match=r"1 or 3 channels, but train\.data has 2"):
        Pretrained(path=str(dinov2)).build(toy.compose(), (1, 1))


def test_pretrained_reads_no_pickled_weights(dinov2, wide, tmp_path):
    (tmp_path / "config.json").write_bytes((dinov2 / "config.json").read_bytes())
    torch.save(Dinov2Model.from_pretrained(dinov2).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"Pretrained\.path = .* holds no model that transformers can read"):
        Pretrained(path=str(tmp_path)).build(wide, (1, 1))
