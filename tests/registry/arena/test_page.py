"""The page on which a person compares, and the file of what they answered."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from genever.arena import Answers, Bout, Show, _serve, serve
from genever.errors import UserError


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Three runs with four samples each; a picture's bytes say whose it is."""
    pictures = {run: [tmp_path / f"{run}{n}.png" for n in range(4)] for run in ("a", "b", "c")}
    for run, files in pictures.items():
        for number, file in enumerate(files, 10):
            file.write_text(f"{run}{number}")
    return Show(pictures, [f"a <{n}>" for n in range(4)], ["seed 0"] * 4, Answers(tmp_path / "answers.jsonl"), first=10)


@pytest.fixture
def address(show: Show) -> str:
    """The page, open; its address with the secret."""
    told: list[str] = []
    opened = threading.Event()

    def ready(address: str) -> None:
        told.append(address)
        opened.set()

    threading.Thread(target=serve, args=(show,), kwargs={"port": 0, "ready": ready}, daemon=True).start()
    assert opened.wait(10)
    page = urlopen(told[0]).read().decode()
    return told[0] + page.partition('const root = "/')[2].partition('"')[0]


def ask(address: str, answer: str | None = None, **headers: str) -> bytes:
    return urlopen(Request(address, data=None if answer is None else answer.encode(), headers=headers)).read()


def test_every_pair_is_asked_once_on_random_sides_in_random_order(show: Show) -> None:
    pairs = {(frozenset((one.left, one.right)), one.number) for one in show.pairs}
    assert len(pairs) == len(show.pairs) == 12
    assert {one.number for one in show.pairs} == {10, 11, 12, 13}
    assert 0 < sum(one.left < one.right for one in show.pairs) < 12
    assert [one.number for one in show.pairs] != sorted(one.number for one in show.pairs)


def test_person_sees_both_samples_and_not_whose_they_are(show: Show, address: str) -> None:
    said = json.loads(ask(f"{address}/question"))
    pair = show.pairs[said["place"]]
    assert said == {"done": 0, "total": 12, "place": 0, "asked": f"a <{pair.number - 10}>"}
    assert ask(f"{address}/0/left").decode() == f"{pair.left}{pair.number}"
    assert ask(f"{address}/0/right").decode() == f"{pair.right}{pair.number}"


def test_answer_is_on_the_disk_before_the_next_question(show: Show, address: str) -> None:
    said = json.loads(ask(f"{address}/0", "left"))
    assert (said["done"], said["place"]) == (1, 1)
    pair = show.pairs[0]
    assert Answers(show.answers.file).read("abc") == [
        Bout(first=pair.left, second=pair.right, number=pair.number, score=1.0, draw="seed 0")
    ]


def test_answers_survive_a_kill_in_the_middle_of_a_line(show: Show) -> None:
    show.answer(0, "right")
    with open(show.answers.file, "a") as file:
        file.write('{"left": "a", "ri')  # The power went here.
    again = Show(show.pictures, show.asked, show.draws, Answers(show.answers.file), first=10)
    assert again.question()["done"] == 1
    again.answer(1, "tie")
    assert [one.score for one in Answers(show.answers.file).read("abc")] == [0.0, 0.5]
    assert again.question()["place"] == 2


def test_last_word_on_a_pair_counts_and_other_runs_do_not(show: Show) -> None:
    for left, right in ("ab", "ac", "ba", "az"):
        show.answers.add(left, right, 10, "left")
    found = show.answers.read("abc")
    assert [(one.first, one.second, one.score) for one in found] == [("a", "c", 1.0), ("b", "a", 1.0)]


def test_pair_is_asked_again_where_its_samples_are_drawn_from_other_noise(show: Show) -> None:
    for place in range(12):
        show.answer(place, "left")
    again = Show(show.pictures, show.asked, ["seed 1", *["seed 0"] * 3], show.answers, first=10)
    assert {again.pairs[place].number for place in range(12) if place not in again.done()} == {10}
    again.answer(again.question()["place"], "right")
    assert len(show.answers.read("abc")) == 13


def test_nothing_is_asked_when_all_is_answered(show: Show) -> None:
    for place in range(12):
        show.answer(place, "tie")
    assert show.question() == {"done": 12, "total": 12, "place": None}


@pytest.mark.parametrize("path", ["/99", "/-1", "/x", ""])
def test_answer_to_what_was_not_asked_is_refused(address: str, path: str) -> None:
    with pytest.raises(HTTPError, match="400"):
        ask(address + path, "left")
    with pytest.raises(HTTPError, match="400"):
        ask(f"{address}/0", "<b>")


def test_page_answers_nobody_but_itself(show: Show, address: str) -> None:
    guessed = address.rpartition("/")[0]
    for wrong, answer, headers in (
        (f"{guessed}/question", None, {}),
        (f"{guessed}/x/0", "left", {}),
        (f"{address}/0", "left", {"Host": "evil.example"}),
        (f"{address}/question", None, {"Host": "evil.example"}),
    ):
        with pytest.raises(HTTPError, match=r"403|404"):
            ask(wrong, answer, **headers)
    assert not show.done()
    assert address.startswith("http://127.0.0.1:")


#: Waits for each question, and answers three by keys.
KEYS = """
<script>
const keys = ["ArrowLeft", "ArrowRight", " "];
const timer = setInterval(() => {
  if (place === null || !keys.length) return;
  const key = keys.shift();
  for (const again of [false, true]) document.dispatchEvent(new KeyboardEvent("keydown", { key, repeat: again }));
}, 20);
</script>
"""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
def test_keys_answer_in_a_browser(show: Show, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _serve._page
    monkeypatch.setattr(_serve, "_page", lambda secret: whole(secret) + KEYS.encode())
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--dump-dom",
        "--virtual-time-budget=5000",
    ]
    command = [str(CHROMIUM), *words, f"--user-data-dir={tmp_path}/profile", address.rpartition("/")[0] + "/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)})
    assert "3 of 12 compared" in done.stdout
    wanted = [(show.pairs[n].left, score) for n, score in enumerate((1.0, 0.0, 0.5))]
    assert [(one.first, one.score) for one in show.answers.read("abc")] == wanted


def test_port_that_is_taken_is_refused(show: Show, address: str) -> None:
    port = int(address.split(":")[2].partition("/")[0])
    with pytest.raises(UserError, match=rf"--port is {port}, which cannot be had: .* Choose another; 0 takes any"):
        serve(show, port=port, ready=lambda address: None)
