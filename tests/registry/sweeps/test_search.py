"""A search: what it proposes, when, and what it makes of runs that fail, of being killed, and of being cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from genever.errors import UserError
from genever.launch import Condition
from genever.parts import Catalog
from genever.sweeps import (
    Driver,
    Element,
    Prepared,
    Submitter,
    SweepDirectory,
    alone_at,
    conditions,
    open_sweep,
    prepare,
    read_sweep,
)

Genever = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
SEARCH = """\
experiment: ../digits/pretrain.gin
search:
  metric: validation_loss
  num: 6
  over: {AdamW.lr: {log_uniform: [1e-4, 1e-1]}, DiT.depth: {int: [1, 4]}}
limit: 2
"""


class Drive:
    """Drives a search on a cluster whose runs end when the search waits, the oldest first.

    Args:
        told: what was said of each run that was over.
        at_once: how many runs lived whenever the search waited.
    """

    def __init__(self, prepared: Prepared, cluster: Any, *, killed_after: int = 1000) -> None:
        self.cluster, self.killed_after = cluster, killed_after
        self.told: list[tuple[int, str, float | None]] = []
        self.at_once: list[int] = []
        self.submitter = Submitter(prepared.composer)
        self.driver = Driver(prepared, prepared.write(), self.submit, self.tell, self.wait)

    def submit(self, sweep: SweepDirectory) -> SweepDirectory:
        return self.submitter.submit(sweep, lambda condition: condition.kind == "created").sweep

    def tell(self, element: Element, condition: Condition, value: float | None) -> None:
        self.told.append((element.number, condition.kind, value))

    def wait(self) -> None:
        live = [row for row in zip(self.driver.sweep.runs(), conditions(self.driver.sweep), strict=True) if row[1].is_live]
        self.at_once.append(len(live))
        if len(self.told) >= self.killed_after:
            raise KeyboardInterrupt
        (element, run), _ = live[0]
        self.end(run, element)

    def end(self, run: Any, element: Element) -> None:
        loss = abs(int(element.varied["DiT.depth"]) - 3) + float(element.varied["AdamW.lr"])
        self.cluster.end(run, results={"average/validation_loss": loss})


@pytest.fixture
def drive(sweep_file: Write, cluster: Any, catalog: Catalog) -> Callable[..., Drive]:
    def new(text: str = SEARCH, **options: Any) -> Drive:
        return Drive(prepare(read_sweep(sweep_file(text)), root=Path("runs"), catalog=catalog), cluster, **options)

    return new


def proposed() -> list[tuple[str, ...]]:
    return [tuple(element.varied.values()) for element in open_sweep("a").elements]


def test_search_runs_to_its_end_and_nothing_idles(drive: Callable[..., Drive]) -> None:
    one = drive()
    assert one.driver.drive()
    assert [(number, kind) for number, kind, _ in one.told] == [(number, "finished") for number in range(6)]
    assert one.at_once == [2, 2, 2, 2, 2, 1]
    assert len(set(proposed())) == 6


def test_search_that_is_killed_goes_on_as_if_it_had_not_been(drive: Callable[..., Drive], cluster: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        drive(killed_after=3).driver.drive()
    half = proposed()
    assert drive().driver.drive()
    assert (len(half), proposed()[: len(half)], len(proposed())) == (5, half, 6)
    assert len(cluster.jobs) == 6


def test_search_proposes_the_same_whoever_was_killed(drive: Callable[..., Drive], folder: Path) -> None:
    text = SEARCH.replace("limit: 2", "limit: 1")
    assert drive(text).driver.drive()
    whole = proposed()
    (folder / "runs").rename(folder / "before")
    for after in (1, 2, 4):
        with pytest.raises(KeyboardInterrupt):
            drive(text, killed_after=after).driver.drive()
    assert drive(text).driver.drive()
    assert proposed() == whole


def test_search_takes_a_failed_run_for_a_bad_one_and_goes_on(
    drive: Callable[..., Drive], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = drive()
    monkeypatch.setattr(one, "end", lambda run, element: one.cluster.end(run, "failed", reason="NonFiniteError: loss"))
    assert one.driver.drive()
    assert one.told == [(number, "failed", None) for number in range(6)]


def test_search_stops_at_a_failed_run_where_the_file_says_so(
    drive: Callable[..., Drive], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = drive(SEARCH + "on_failure: stop\n")
    monkeypatch.setattr(one, "end", lambda run, element: one.cluster.end(run, "failed"))
    assert not one.driver.drive()
    assert len(proposed()) == 2


def test_search_that_has_more_runs_goes_on_from_what_it_knows(drive: Callable[..., Drive], cluster: Any) -> None:
    assert drive().driver.drive()
    assert drive(SEARCH.replace("num: 6", "num: 8")).driver.drive()
    assert (len(proposed()), len(cluster.jobs)) == (8, 8)


def test_search_over_other_keys_begins_anew(drive: Callable[..., Drive]) -> None:
    assert drive().driver.drive()
    other = drive(SEARCH.replace(", DiT.depth: {int: [1, 4]}", ""))
    assert other.driver.sweep.elements == ()
    assert len(other.driver.sweep.manifest.dropped) == 6


def test_cancelled_search_proposes_no_more(
    drive: Callable[..., Drive], genever: Genever, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = drive()
    monkeypatch.setattr(one, "end", lambda run, element: genever("cancel", "a"))
    assert not one.driver.drive()
    assert [kind for _, kind, _ in one.told] == ["cancelled", "cancelled"]
    assert len(proposed()) == 2


def test_search_that_is_cancelled_while_it_submits_cancels_what_it_submitted(
    drive: Callable[..., Drive], genever: Genever, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = drive()
    submit = one.driver.submit
    monkeypatch.setattr(one.driver, "submit", lambda sweep: (genever("cancel", "a"), submit(sweep))[1])
    assert not one.driver.drive()
    assert [found.kind for found in conditions(open_sweep("a"))] == ["cancelled"]


def test_search_that_is_cancelled_before_it_is_driven_proposes_nothing(
    sweep_file: Write, genever: Genever, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("genever.sweeps._drive.time.sleep", interrupted)
    monkeypatch.setattr("genever.command._sweep.report", lambda _: genever("cancel", "a"))
    assert genever("sweep", sweep_file(SEARCH), "--no-build")[0] == 1
    assert proposed() == []


def test_cancelled_search_goes_on_when_it_is_submitted_again(
    drive: Callable[..., Drive], genever: Genever, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive()
    genever("cancel", "a")
    monkeypatch.setattr(Driver, "drive", lambda driver: not driver.sweep.cancelled.exists())
    assert genever("sweep", "experiments/sweeps/a.yaml", "--no-build")[0] == 0


def test_search_has_one_driver(folder: Path, sweep_file: Write, genever: Genever) -> None:
    with alone_at(Path("runs"), "a"):
        code, _, err = genever("sweep", sweep_file(SEARCH))
    message = "another process drives the search 'a' already. Follow it with: genever status a"
    assert (code, err) == (2, f"genever sweep: {message}\n")


def test_status_watches_a_search_until_nobody_drives_it(
    drive: Callable[..., Drive], genever: Genever, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drive().driver.drive()
    driven, naps = ExitStack(), []
    driven.enter_context(alone_at(Path("runs"), "a"))
    monkeypatch.setattr("time.sleep", lambda seconds: (naps.append(seconds), driven.close()))
    genever("status", "a", "--watch")
    assert len(naps) == 1


def test_status_names_the_best_run_of_a_search(drive: Callable[..., Drive], genever: Genever) -> None:
    assert drive().driver.drive()
    best = min(abs(int(depth) - 3) + float(lr) for lr, depth in proposed())
    assert f"  best validation_loss {best:.6g}: AdamW.lr = " in genever("status", "a")[1]


def test_search_refuses_to_start_where_its_metric_is_unknown(sweep_file: Write, catalog: Catalog) -> None:
    with pytest.raises(UserError, match="nothing here measures 'fdd'"):
        prepare(read_sweep(sweep_file(SEARCH.replace("validation_loss", "fdd"))), root=Path("runs"), catalog=catalog)
