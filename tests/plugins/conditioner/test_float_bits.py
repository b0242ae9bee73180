from __future__ import annotations

import pytest
import torch
from genever_plugins.conditioner.float_bits import Row
from hypothesis import given
from hypothesis import strategies as st

FLOATS = st.floats(width=32)
IDS = st.integers(-(2**31), 2**31 - 1)


@given(ids=st.lists(IDS, min_size=6, max_size=6), floats=st.lists(FLOATS, min_size=13, max_size=13))
def test_row_gives_back_what_it_holds_bit_by_bit(ids, floats):
    row = Row(other=(3, 1), image=(1, 2, 3))
    other, floating = torch.tensor(ids).view(2, 3, 1), torch.tensor([*floats, -0.0])
    image, level = floating[:12].view(2, 1, 2, 3), floating[12:]
    packed = row.pack(other, image, level)
    assert not packed.is_floating_point()
    assert packed.shape == (2, 1 + 3 + 6)
    for found, put in zip(row.unpack(packed), (other, image, level), strict=True):
        assert found.dtype == put.dtype
        assert torch.equal(found.view(torch.int32), put.view(torch.int32))


@pytest.mark.parametrize("other", [(), (4,), (2, 3)])
def test_rows_of_every_form_are_repeated_chosen_and_put_together(other):
    row, generator = Row(other=other, image=(2, 1, 2)), torch.Generator().manual_seed(0)
    ids = torch.randint(2**20, (5, *other), generator=generator)
    image, level = torch.randn(5, 2, 1, 2, generator=generator), torch.rand(5, generator=generator)
    packed = row.pack(ids, image, level)
    chosen = torch.tensor([4, 0])
    for found, put in zip(row.unpack(packed[chosen]), (ids, image, level), strict=True):
        assert torch.equal(found, put[chosen])
    for found, put in zip(row.unpack(torch.cat([packed, packed.repeat_interleave(2, 0)])), (ids, image, level), strict=True):
        assert torch.equal(found, torch.cat([put, put.repeat_interleave(2, 0)]))
