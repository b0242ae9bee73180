"""Trackers."""

from __future__ import annotations

from genever.testing._case import Case


def run_is_followed_and_gone_on_with(case: Case) -> None:
    image = _image(case)
    for step in (0, 5):
        writer = case.part().open(case.folder, step=step, config={"train.steps": 10})
        for later in range(step, step + 10):
            writer.scalars({"loss": 1 / (1 + later), "model/lr": 1e-3}, later)
        writer.image("samples", image, step + 9)
        writer.close()


def nothing_is_written_elsewhere(case: Case) -> None:
    run = case.folder / "run"
    run.mkdir()
    image = _image(case)
    writer = case.part().open(run, step=0, config={})
    writer.scalars({"loss": 1.0}, 0)
    writer.close()
    assert set(case.folder.iterdir()) == {run, image}


def values_that_are_not_finite_are_taken(case: Case) -> None:
    writer = case.part().open(case.folder, step=0, config={})
    writer.scalars({"loss": float("nan"), "norm": float("inf")}, 0)
    writer.close()


def _image(case: Case):
    from PIL import Image

    file = case.folder / "grid.png"
    Image.new("RGB", (8, 8)).save(file)
    return file
