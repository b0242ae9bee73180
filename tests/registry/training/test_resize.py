"""Images at another size: Pillow's bicubic interpolation, whichever way."""

import numpy as np
import pytest
import torch
from genever.training import resized
from PIL import Image
from torch import Tensor

IMAGES = torch.randn(3, 2, 12, 18, generator=torch.Generator().manual_seed(0))


def pillow(plane: Tensor, rows: int, columns: int) -> Tensor:
    return torch.from_numpy(np.array(Image.fromarray(plane.numpy()).resize((columns, rows), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("size", [(6, 9), (8, 12), (5, 18), (24, 36), (17, 40), (1, 1)])
def test_images_are_resized_as_pillow_does_it(size: tuple[int, int]) -> None:
    found = resized(IMAGES, size)
    assert found.shape == (3, 2, *size)
    for image, small in zip(IMAGES.flatten(0, 1), found.flatten(0, 1), strict=True):
        torch.testing.assert_close(small, pillow(image, *size), atol=1e-5, rtol=1e-5)


def test_images_of_that_size_are_left_alone() -> None:
    assert resized(IMAGES, (12, 18)) is IMAGES


@pytest.mark.parametrize("size", [(4, 6), (30, 30)])
def test_flat_images_stay_flat(size: tuple[int, int]) -> None:
    torch.testing.assert_close(resized(torch.full((1, 1, 12, 18), 0.75), size), torch.full((1, 1, *size), 0.75))
