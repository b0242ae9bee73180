"""A page on this machine alone, on which a person compares samples of two runs without knowing whose they are."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

from genever.arena._answers import Answer, Answers
from genever.errors import UserError

__all__ = ["Pair", "Show", "serve"]

_HOST = "127.0.0.1"
_MOST_BYTES = 1000


@dataclass(frozen=True)
class Pair:
    """Two runs and the number of the sample on which they are compared."""

    left: str
    right: str
    number: int


class Show:
    """What is still to be asked: every pair of runs on every number, in random order, each on a random side.

    Args:
        pictures: PNG files of each run, in the order of the samples.
        asked: what each sample was asked for, in words.
        draws: what each sample was drawn from, so that answers on samples of other noise or prompts are none on these.
        first: the number of the first sample.
    """

    def __init__(
        self,
        pictures: Mapping[str, Sequence[Path]],
        asked: Sequence[str],
        draws: Sequence[str],
        answers: Answers,
        *,
        first: int = 0,
        seed: int = 0,
    ) -> None:
        self.pictures, self.asked, self.draws, self.answers, self.first = pictures, asked, draws, answers, first
        luck = random.Random(seed)
        numbers = range(first, first + len(asked))
        pairs = [_on_sides(two, number, luck) for number in numbers for two in combinations(pictures, 2)]
        luck.shuffle(pairs)
        self.pairs = pairs

    def done(self) -> set[int]:
        """The places of the pairs that somebody has compared, here or before."""
        answered = self.answers.read(self.pictures)
        compared = {(frozenset((one.first, one.second)), one.number, one.draw) for one in answered}
        return {
            place
            for place, pair in enumerate(self.pairs)
            if (frozenset((pair.left, pair.right)), pair.number, self._draw(pair)) in compared
        }

    def question(self) -> dict[str, Any]:
        """The next one, as the page reads it; without a place where there is none left."""
        done = self.done()
        place = next((n for n in range(len(self.pairs)) if n not in done), None)
        told = {"done": len(done), "total": len(self.pairs), "place": place}
        return told if place is None else {**told, "asked": self.asked[self.pairs[place].number - self.first]}

    def picture(self, place: int, side: str) -> bytes:
        pair = self.pairs[place]
        return self.pictures[pair.left if side == "left" else pair.right][pair.number - self.first].read_bytes()

    def answer(self, place: int, answer: Answer) -> None:
        pair = self.pairs[place]
        self.answers.add(pair.left, pair.right, pair.number, answer, draw=self._draw(pair))

    def _draw(self, pair: Pair) -> str:
        return self.draws[pair.number - self.first]


def _on_sides(two: tuple[str, str], number: int, luck: random.Random) -> Pair:
    left, right = luck.sample(two, 2)
    return Pair(left, right, number)


def serve(show: Show, *, port: int, ready: Callable[[str], None]) -> None:
    """Asks until somebody interrupts.

    Args:
        port: 0 = any that is free.
        ready: told the page's address once it can be opened.

    Raises:
        UserError: the port is taken.
    """
    try:
        server = ThreadingHTTPServer((_HOST, port), BaseHTTPRequestHandler)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--port is {port}, which cannot be had: {error}. Choose another; 0 takes any that is free."
        ) from error
    with server:
        server.RequestHandlerClass = _handler(show, f"{_HOST}:{server.server_port}", secrets.token_urlsafe(16))
        server.daemon_threads = True
        ready(f"http://{_HOST}:{server.server_port}/")
        server.serve_forever()


def _handler(show: Show, host: str, secret: str) -> type[BaseHTTPRequestHandler]:
    """Answers only what this page itself asks: other pages of the same browser know neither its name nor its secret."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            words = self.path.strip("/").split("/")
            if self.headers.get("Host") != host:
                self._send(403)
            elif words == [""]:
                self._send(200, _page(secret), "text/html; charset=utf-8")
            elif words == [secret, "question"]:
                self._send(200, json.dumps(show.question()).encode(), "application/json")
            elif words[0] == secret and (found := self._place(words[1:-1])) is not None and words[-1] in ("left", "right"):
                self._send(200, show.picture(found, words[-1]), "image/png")
            else:
                self._send(404)

        def do_POST(self) -> None:
            words = self.path.strip("/").split("/")
            if self.headers.get("Host") != host or words[0] != secret:
                self._send(403)
            elif (found := self._place(words[1:])) is None or (answer := self._answer()) is None:
                self._send(400)
            else:
                show.answer(found, answer)
                self._send(200, json.dumps(show.question()).encode(), "application/json")

        def _answer(self) -> Answer | None:
            length = self.headers.get("Content-Length", "")
            said = self.rfile.read(int(length)) if length.isdecimal() and int(length) <= _MOST_BYTES else b""
            return next((word for word in get_args(Answer) if word == said.decode(errors="replace")), None)

        def _place(self, words: Sequence[str]) -> int | None:
            known = len(words) == 1 and words[0].isdecimal() and int(words[0]) < len(show.pairs)
            return int(words[0]) if known else None

        def _send(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
            for name, value in {**headers, "X-Content-Type-Options": "nosniff"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the terminal is for whoever waits for the ratings."""

    return Handler


def _page(secret: str) -> bytes:
    text = (Path(__file__).parent / "page" / "arena.html").read_text(encoding="utf-8")
    return text.replace("[[secret]]", secret).encode()
