"""The command `genever`: one module a verb, each imported only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

__all__ = ["main"]

#: verb -> (module, what it does). A module offers `add_arguments(parser)` and `run(arguments) -> exit code`.
VERBS = {
    "run": ("_run", "train what a gin file composes"),
    "resume": ("_resume", "go on with a run that stopped"),
    "sweep": ("_sweep", "run many variants of an experiment, or experiments in a row, from one file"),
    "retry": ("_retry", "submit again what failed"),
    "status": ("_status", "say how runs are, wherever they are trained"),
    "cancel": ("_cancel", "take runs out of the queue, or have them save and stop"),
    "results": ("_results", "show what came out of a sweep, in one table and one page"),
    "compare": ("_compare", "say what differs between runs, and between what came out"),
    "check": ("_check", "find every mistake of a gin file, without training"),
    "resolve": ("_resolve", "print the one flat file that a run would freeze"),
    "explain": ("_explain", "say where each value of a gin file comes from"),
    "parts": ("_parts", "list the parts, or show one"),
    "plugins": ("_plugins", "list the plugins and what became of them"),
    "sample": ("_sample", "draw images from a run"),
    "evaluate": ("_evaluate", "judge a run by the metrics, under other solvers if asked"),
    "arena": ("_arena", "say which of several runs is better, by a person, a reward, a judge or a metric"),
    "export": ("_export", "write a run's weights or adapter for use elsewhere"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Returns 0 = done, 1 = the work failed, 2 = the user's input is wrong."""
    argv = sys.argv[1:] if argv is None else argv
    from genever import __version__
    from genever.errors import UserError

    parser = argparse.ArgumentParser(
        prog="genever", description="Train image generators: one gin file composes a stage, plugins supply its parts."
    )
    parser.add_argument("--version", action="version", version=f"genever {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (module, what) in VERBS.items():
        one = verbs.add_parser(verb, help=what, description=what[0].upper() + what[1:] + ".")
        if argv and argv[0] == verb:
            import_module(f"genever.command.{module}").add_arguments(one)
    arguments = parser.parse_args(argv)
    try:
        code = import_module(f"genever.command.{VERBS[arguments.verb][0]}").run(arguments)
        return code if code in (0, 1, 2) else 1  # Others are between a run's processes and who started them.
    except UserError as error:
        print(f"genever {arguments.verb}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # A path that cannot be read or written; the error names it.
        print(f"genever {arguments.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"genever {arguments.verb}: interrupted", file=sys.stderr)
        return 1
