from pathlib import Path

import pytest
from genever_plugins.tracker.tensorboard import TensorBoard
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(directory: Path) -> EventAccumulator:
    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return events


def write(directory: Path, steps: list[int], start: int = 0) -> None:
    writer = TensorBoard().open(directory, step=start, config={"identity": "abc"})
    for step in steps:
        writer.scalars({"loss": step / 10, "digits/fd": float(step)}, step)
    writer.close()


def test_scalars_are_readable_by_name_and_step(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3])
    events = read(tmp_path)
    assert {"loss", "digits/fd"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("digits/fd")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([0.1, 0.2, 0.3])


def test_resumed_run_drops_what_came_later_than_its_step(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3, 4])
    write(tmp_path, [3, 4, 5], start=2)
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1, 2, 3, 4, 5]


def test_run_that_begins_again_drops_all_that_came_before(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3])
    write(tmp_path, [1, 2])
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [1, 2]


def test_image_is_the_file_that_was_handed_over(tmp_path: Path) -> None:
    Image.new("L", (6, 4), 128).save(tmp_path / "grid.png")
    writer = TensorBoard().open(tmp_path, step=0, config={})
    writer.image("samples", tmp_path / "grid.png", 7)
    writer.close()
    (event,) = read(tmp_path).Images("samples")
    assert (event.step, event.width, event.height) == (7, 6, 4)


def test_config_is_kept_as_text(tmp_path: Path) -> None:
    write(tmp_path, [1])
    assert any("config" in tag for tag in read(tmp_path).Tags()["tensors"])
