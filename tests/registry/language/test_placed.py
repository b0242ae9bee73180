"""Where a refusal of a part is to be put right."""

from __future__ import annotations

import json

import pytest
from genever.errors import Place
from genever.language import place_named

VALUES = {
    "train.start": ("file", "x.gin", 1),
    "train.batch_size": ("file", "base.gin", 6),
    "aligner.FlowGRPO.group_size": ("file", "x.gin", 7),
    "optimizer.AdamW.lr": ("file", "x.gin", 3),
    "critic/optimizer.AdamW.lr": ("file", "x.gin", 9),
    "low/data.Shapes.height": ("file", "x.gin", 4),
    "high/data.Shapes.height": ("file", "x.gin", 5),
    "only/data.Shapes.width": ("-b", "-b", 2),
    "train.data": ("start", "runs/a/resolved.gin", 4),
    "tuner.LoRA.rank": ("default", None, None),
}
RECORD = json.dumps(
    {
        "file": "x.gin",
        "values": {key: {"origin": origin, "file": file, "line": line} for key, (origin, file, line) in VALUES.items()},
    }
)


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("aligner.FlowGRPO.group_size = 3 is odd.", Place("x.gin", 7)),
        ("FlowGRPO.group_size = 3 is odd.", Place("x.gin", 7)),
        ("train.batch_size = 8 cannot be split by aligner.FlowGRPO.group_size.", Place("x.gin", 7)),
        ("train.batch_size = 8 is odd.", Place("base.gin", 6)),
        ("optimizer.AdamW.lr is high.", Place("x.gin", 3)),
        ("critic/optimizer.AdamW.lr is high.", Place("x.gin", 9)),
        ("data.Shapes.width is odd.", Place("-b", 2)),
        ("data.Shapes.height is one of two.", None),
        ("train.data holds too little.", Place("x.gin", 1)),
        ("tuner.LoRA.rank is what nobody set.", None),
        ("Nothing is named. Or is it?", None),
    ],
)
def test_refusal_is_placed_where_a_key_that_it_names_was_set(message: str, place: Place | None) -> None:
    assert place_named(message, RECORD) == place
