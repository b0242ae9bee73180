"""`genever export RUN FOLDER`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from genever.command._opened import add_run_arguments, opened_run
from genever.errors import UserError
from genever.slots import LearnableCodecModule

if TYPE_CHECKING:
    from torch import nn

    from genever.execution import Opened
    from genever.training import Composition

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("folder", metavar="FOLDER", help="a new folder for the weights or the adapter")
    parser.add_argument(
        "--merged",
        action="store_true",
        help="the whole plain model, adapters folded in; as it is always where runs are mixed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes what the stage's tuner thinks worth keeping elsewhere, or the whole model with that folded in.

    A codec that has learned is worth keeping too.
    """
    folder = Path(arguments.folder)
    if folder.exists():
        raise UserError(f"{arguments.folder!r} exists already; nothing is overwritten. Name a new folder.")
    opened = opened_run(arguments)
    if arguments.merged or arguments.mix or arguments.strength is not None:
        _export_merged(opened, folder)
    else:
        opened.composition.tuned.export(folder)
    _export_codec(opened.composition, folder / "codec")
    print(folder)
    return 0


def _export_codec(composition: Composition, folder: Path) -> None:
    codec, stage = composition.codec, composition.stage
    if not isinstance(codec, LearnableCodecModule):
        return
    first = composition.build_seeded("codec", lambda: stage.codec.build(composition.data.spec)).state_dict()
    if any(not tensor.equal(first[name]) for name, tensor in cast("nn.Module", codec).state_dict().items()):
        codec.export(folder)


def _export_merged(opened: Opened, folder: Path) -> None:
    from safetensors.torch import save_file

    try:
        opened.composition.tuned.merge()
    except ValueError as error:
        raise UserError(str(error)) from error
    folder.mkdir(parents=True)
    # Tied weights share their memory, which safetensors refuses to write.
    weights = {name: tensor.detach().cpu().clone() for name, tensor in opened.model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
