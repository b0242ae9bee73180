"""The page: it carries all that it shows, reads nothing of a run's files as markup, and opens in a browser."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from genever.results import Chapter, Table, chapters_of, gather, page
from genever.results._limits import Limits
from genever.results._page import embedded
from genever.results._page_data import page_data
from genever.runs import RunDirectory
from genever.sweeps import SweepDirectory
from PIL import Image

NewRun = Callable[..., RunDirectory]
NewSweep = Callable[..., SweepDirectory]
Read = Callable[..., tuple[Table, list[Chapter]]]
NASTY = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;\u2028'\"\\ https://a.b"


class Parsed(HTMLParser):
    """The tags of a page, the rows of its table, and the data that it carries."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.num_rows = 0
        self.data = self.title = ""
        self.inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        self.num_rows += tag == "tr" and "tbody" in self.inside
        self.is_data = ("id", "data") in attrs
        if tag in ("tbody", "script", "title"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside[-1:] == ["script"] and self.is_data:
            self.data += data
        if self.inside[-1:] == ["title"]:
            self.title += data


def _parsed(read: Read, name: str = "tiny", **limits: int) -> tuple[Parsed, dict[str, Any], str]:
    text = page(*read(name), Limits(**limits))
    found = Parsed(text)
    return found, json.loads(found.data), text


@pytest.fixture
def nasty(new_run: NewRun, new_sweep: NewSweep) -> SweepDirectory:
    """A sweep whose files say everything that a page must not believe."""
    runs = [
        new_run({"average/fd": 1.0, NASTY: 2.0}, git={"commit": NASTY}),
        new_run({"average/fd": None}, status="failed", reason=NASTY, experiment="digits/fake"),
        new_run({}, losses=(), status="created"),
    ]
    sweep = new_sweep([({"x.y": NASTY, "train.seed": str(n)}, run) for n, run in enumerate(runs)] + [({"x.y": "1"}, None)])
    sweep.file.write_text(NASTY)
    return sweep


@pytest.mark.usefixtures("nasty")
def test_page_reads_nothing_of_a_runs_files_as_markup(read: Read) -> None:
    found, data, text = _parsed(read)
    assert (found.tags.count("script"), found.tags.count("img"), found.tags.count("title")) == (2, 0, 1)
    assert data["failures"][0]["reason"] == NASTY == data["file"]
    assert data["runs"][0]["v"][0] == NASTY
    assert text.count("owned") == text.count("document.title='owned'\\u003c/script")


@pytest.mark.usefixtures("nasty")
def test_page_needs_no_network(read: Read) -> None:
    found, _, text = _parsed(read)
    assert "http://" not in text
    assert "https://" not in text
    assert not found.links
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


def test_name_of_a_sweep_is_escaped_in_the_title(new_sweep: NewSweep, read: Read) -> None:
    new_sweep(name="a<b>&c")
    assert "<title>a&lt;b&gt;&amp;c: results</title>" in page(*read("a<b>&c"))


@pytest.mark.parametrize("value", [NASTY, "<!--", "]]>", "a://b", "\ud800", "é", {"a": [1, None, "<"]}])
def test_embedded_data_comes_back_as_it_was(value: Any) -> None:
    text = embedded(value)
    assert not set("<>&") & set(text)
    assert "://" not in text
    assert json.loads(text) == value


def test_embedded_data_is_never_what_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(float("nan"))


def test_page_carries_values_results_and_curves(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    runs = [new_run({"average/fd": fd}, losses=(fd, 0.5), better={"fd": "lower"}) for fd in (2.0, 1.0)]
    new_sweep([({"AdamW.lr": lr}, run) for lr, run in zip(("1e-3", "1e-2"), runs, strict=True)])
    _, data, _ = _parsed(read)
    [first, second] = data["runs"]
    fd, loss = ([one["name"] for one in data["numbers"]].index(name) for name in ("fd", "loss"))
    assert (first["n"], first["v"], first["r"][str(fd)], first["r"][str(loss)]) == (1, ["1e-2"], 1.0, 0.5)
    curves = {data["scalars"][place]: (steps, values) for place, steps, values in second["c"]}
    assert curves["model/loss"] == ([50, 100], [2.0, 0.5])
    assert curves["average/fd"] == ([100], [2.0])
    assert data["stages"][0]["metric"] == fd
    assert [data["numbers"][place]["better"] for place in (fd, loss)] == ["lower", None]


@pytest.mark.parametrize("turn", [1, -1])
def test_page_ranks_runs_with_and_without_an_average_by_one_number(turn: int, new_run: NewRun, read: Read) -> None:
    protocols = {"raw/fd": "9 samples", "average/fd": "99 samples"}
    for results in ({"raw/fd": 2.0}, {"average/fd": 1.0, "raw/fd": 9.0})[::turn]:
        new_run(results, protocols=protocols)
    _, data, _ = _parsed(read, "digits/fake")
    place = data["stages"][0]["metric"]
    assert [run["r"][str(place)] for run in data["runs"]] == [1.0, 2.0]
    assert [data["protocols"][run["q"][str(place)]] for run in data["runs"]] == ["99 samples", "9 samples"]
    assert data["numbers"][place]["name"] == "fd"
    assert sorted(data["numbers"][place]["full"].split(" or ")) == ["average/fd", "raw/fd"]


@pytest.mark.parametrize("metric", ["images_per_s", "model/loss", "loss", "fd", "average/fd"])
def test_page_ranks_by_any_number_that_the_table_does(metric: str, new_run: NewRun, read: Read) -> None:
    new_run({"average/fd": 2.0}), new_run({"average/fd": 1.0}, losses=(1.0, 0.5))
    table, chapters = read("digits/fake", metric=metric)
    data = page_data(table, chapters, Limits())
    place = data["stages"][0]["metric"]
    assert [run["r"][place] for run in data["runs"]] == [row.value(metric) for row in chapters[0].rows]
    assert [one["name"] for one in data["numbers"]].count(data["numbers"][place]["name"]) == 1


def test_page_fills_the_loss_of_each_run_where_they_are_called_otherwise(new_run: NewRun, read: Read) -> None:
    new_run({})
    new_run({}).metrics.write_text('{"step": 100, "student/loss": 0.5}\n')
    table, chapters = read("digits/fake", metric="loss")
    data = page_data(table, chapters, Limits())
    assert [run["r"][data["stages"][0]["metric"]] for run in data["runs"]] == [0.25, 0.5]


def test_page_tells_not_finite_from_not_there(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    new_sweep([({"a": "1"}, new_run({"average/fd": None}, losses=(1.0, float("inf")))), ({"a": "2"}, None)])
    _, data, _ = _parsed(read)
    by_number = {run["n"]: run for run in data["runs"]}
    assert set(by_number[0]["r"].values()) == {"nan"}
    assert by_number[1]["r"] == {}
    assert [0, [50, 100], [1.0, None]] in by_number[0]["c"]


def _with_pictures(runs: Sequence[RunDirectory], size: tuple[int, int] = (20, 10)) -> None:
    for run in runs:
        for name in ("raw_00000100.png", "average_00000100.png", "average_00000050.png"):
            Image.effect_noise(size, 80).save(run.samples / name)


def test_page_carries_the_newest_grid_of_the_average(new_run: NewRun, read: Read) -> None:
    run = new_run()
    _with_pictures([run])
    _, data, _ = _parsed(read, "digits/fake")
    picture = data["runs"][0]["p"]
    assert picture["source"].startswith("data:image/png;base64,")
    assert (picture["step"], picture["weights"], picture["width"], picture["height"]) == (100, "average", 20, 10)
    assert not data["notes"]["pictures"]


def test_sheet_that_was_sampled_later_is_not_taken_for_a_grid_of_training(new_run: NewRun, read: Read) -> None:
    run = new_run()
    _with_pictures([run])
    for name in ("sample_00000100.png", "sample_00000900.png"):
        Image.effect_noise((30, 30), 80).save(run.samples / name)
    picture = _parsed(read, "digits/fake")[1]["runs"][0]["p"]
    assert (picture["step"], picture["weights"], picture["width"]) == (100, "average", 20)


def test_large_grid_is_shrunk_and_said_to_be(new_run: NewRun, read: Read) -> None:
    _with_pictures([new_run()], size=(1600, 800))
    _, data, _ = _parsed(read, "digits/fake")
    assert data["runs"][0]["p"]["source"].startswith("data:image/webp;base64,")
    assert len(data["runs"][0]["p"]["source"]) < 400_000
    assert data["notes"]["pictures"] == "1 of the grids are shown smaller than they are."


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_file_that_is_no_picture_is_left_out(content: bytes, new_run: NewRun, read: Read) -> None:
    (new_run().samples / "average_00000100.png").write_bytes(content)
    assert _parsed(read, "digits/fake")[1]["runs"][0]["p"] is None


def test_limits_of_the_page_are_kept_and_said(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    runs = [new_run({"average/fd": float(n)}, losses=[1.0] * 300) for n in range(9)]
    failed = [new_run({}, status="failed", reason=f"reason {n}") for n in range(3)]
    _with_pictures(runs)
    new_sweep([({"a": str(n), "b": str(n), "c": str(n)}, run) for n, run in enumerate([*runs, *failed])])
    _, data, _ = _parsed(read, runs=10, curves=4, scalars=2, points=100, fewest_points=10, axes=2, pictures=3, failures=1)
    assert len(data["runs"]) == 10
    assert sum(bool(run["c"]) for run in data["runs"]) == 4
    assert {len(curve[1]) for run in data["runs"] for curve in run["c"]} == {1, 12}
    assert sum(run["p"] is not None for run in data["runs"]) == 3
    assert data["notes"] == {
        "runs": "The page carries 10 of 12 runs, the best; --csv has all.",
        "axes": "Only the first 2 bindings have an axis.",
        "curves": "4 of 10 runs have curves here: the best, and others evenly picked. 2 of 4 scalars are here, without "
        "images_per_s, model/lr. Long curves are thinned to 12 points, the lowest and the highest of each stretch of steps.",
        "pictures": "The newest grids of 3 of 10 runs are here, those of the best that have one.",
        "failures": "",
    }


def test_reasons_beyond_the_limit_are_counted(new_run: NewRun, read: Read) -> None:
    for number in range(3):
        new_run({}, status="failed", reason=f"reason {number}")
    _, data, _ = _parsed(read, "digits/fake", failures=1)
    assert (len(data["failures"]), data["notes"]["failures"]) == (1, "2 more reasons are left out; --json has all.")


def test_ten_thousand_runs_make_a_page_that_a_browser_can_carry(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    run = new_run({"average/fd": 1.0}, losses=[1.0] * 500)
    _with_pictures([run])
    new_sweep([({"AdamW.lr": str(n), "train.seed": str(n % 3)}, run) for n in range(10_000)])
    _, data, text = _parsed(read)
    assert len(data["runs"]) == 10_000
    assert len(text) < 12_000_000
    assert sum(len(curve[1]) for one in data["runs"] for curve in one["c"]) <= 300_000
    assert "400 of 10,000 runs have curves here" in data["notes"]["curves"]


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


def _opened(text: str, folder: Path) -> tuple[Parsed, str]:
    """The page as a browser makes it, and what its console said."""
    file = folder / "page.html"
    file.write_text(text)
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *words, "--virtual-time-budget=5000", f"--user-data-dir={folder}/profile", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )
    return Parsed(done.stdout), "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@needs_chromium
@pytest.mark.usefixtures("nasty")
def test_browser_shows_a_row_for_each_run_and_believes_no_file(read: Read, tmp_path: Path) -> None:
    found, console = _opened(page(*read()), tmp_path)
    assert (found.num_rows, console) == (4, "")
    assert "img" not in found.tags
    assert found.tags.count("script") == 2


@needs_chromium
def test_browser_opens_a_page_without_runs(new_sweep: NewSweep, read: Read, tmp_path: Path) -> None:
    new_sweep()
    found, console = _opened(page(*read()), tmp_path)
    assert (found.num_rows, console) == (0, "")


@needs_chromium
def test_browser_shows_the_last_stage_and_its_pictures(
    new_run: NewRun, new_sweep: NewSweep, read: Read, tmp_path: Path
) -> None:
    runs = [new_run({"average/fd": 1.0 + n}) for n in range(5)]
    _with_pictures(runs)
    of = ("base", "align", "align", "align", "align").__getitem__
    new_sweep([({"kl": str(n)}, run) for n, run in enumerate(runs)], stages=("base", "align"), of=of)
    found, console = _opened(page(*read()), tmp_path)
    assert (found.num_rows, found.tags.count("img"), console) == (4, 4, "")


@needs_chromium
def test_browser_shows_the_first_rows_of_very_many(new_run: NewRun, new_sweep: NewSweep, read: Read, tmp_path: Path) -> None:
    run = new_run()
    new_sweep([({"lr": str(n)}, run) for n in range(2000)])
    found, console = _opened(page(*read()), tmp_path)
    assert (found.num_rows, console) == (300, "")


#: Keys on the first axis, the box for seeds, then the header of the first binding; the rows after each.
ACTIONS = """
const later = (act) => new Promise((done) => { act(); setTimeout(done, 50); });
const press = (key) => document.querySelector(".axis").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const rows = [];
const look = () => rows.push([...document.querySelectorAll("tbody tr")].map((row) => row.cells[0].textContent).join("+"));
(async () => {
  look();
  await later(() => { press("Enter"); for (let n = 0; n < 9; n++) press("ArrowDown"); });
  look();
  await later(() => press("Escape"));
  look();
  await later(() => document.querySelector("#controls input[type=checkbox]").click());
  look();
  await later(() => document.querySelector("#controls input[type=checkbox]").click());
  await later(() => document.querySelectorAll("thead button")[1].click());
  look();
  document.title = rows.join(" | ");
})();
"""


@needs_chromium
def test_browser_brushes_groups_and_sorts(new_run: NewRun, new_sweep: NewSweep, read: Read, tmp_path: Path) -> None:
    elements = [
        ({"lr": lr, "train.seed": str(seed)}, fd) for lr, fd in (("3", 1.0), ("1", 3.0), ("2", 2.0)) for seed in (0, 1)
    ]
    new_sweep([(varied, new_run({"average/fd": fd})) for varied, fd in elements])
    drawing_at_once = "<script>requestAnimationFrame = (draw) => setTimeout(draw)</script>"
    text = (
        page(*read()).replace("<body>", f"<body>{drawing_at_once}").replace("</body>", f"<script>{ACTIONS}</script></body>")
    )
    found, console = _opened(text, tmp_path)
    assert (found.title, console) == ("0+1+4+5+2+3 | 2+3 | 0+1+4+5+2+3 | 0 1+4 5+2 3 | 2+3+4+5+0+1", "")


SEEDS = """
setTimeout(() => document.querySelector("#controls input[type=checkbox]").click());
setTimeout(() => (document.title = [...document.querySelectorAll("tbody tr")].map((row) => row.innerText).join(" | ")), 100);
"""


@needs_chromium
def test_browser_says_which_means_leave_out_seeds_and_ranks_them_last(
    new_run: NewRun, new_sweep: NewSweep, read: Read, tmp_path: Path
) -> None:
    fds = (("x", 1.0), ("x", None), ("y", 2.0), ("y", 2.0))
    new_sweep([({"lr": lr, "train.seed": str(n)}, new_run({"average/fd": fd})) for n, (lr, fd) in enumerate(fds)])
    drawing_at_once = "<script>requestAnimationFrame = (draw) => setTimeout(draw)</script>"
    text = page(*read()).replace("<body>", f"<body>{drawing_at_once}").replace("</body>", f"<script>{SEEDS}</script></body>")
    found, console = _opened(text, tmp_path)
    rows = "2 3 y 2 ± 0 2 of 2 finished 0.25 ± 0 | 0 1 x 1 (1 of 2) 2 of 2 finished 0.25 ± 0"
    assert (" ".join(found.title.split()), console) == (rows, "")


PROMPTS = ("a low <one>", "a high one")


@pytest.fixture
def lifecycle(new_run: NewRun, new_sweep: NewSweep) -> list[RunDirectory]:
    """Two runs of a base, and two that started from the worse of them; one of these reads what scores."""
    frozen = {"train.sample_captions": repr([*PROMPTS, "beyond"]), "train.sample_images": "2"}
    base = [
        new_run({"average/fd": fd}, frozen=frozen, protocols={"average/fd": "9 samples, by <eyes>"}) for fd in (1.0, 2.0)
    ]
    start = {"name": "digits/base", "run": str(base[1].path.resolve())}
    reads = {"Learned.run": {"name": "digits/reward", "run": "/nowhere/digits/reward/1"}}
    facts = {"start": start, "reads": reads, "protocols": {"average/fd": "99 samples"}}
    last = [new_run({"average/fd": fd}, frozen=frozen, **facts) for fd in (4.0, 3.0)]
    _with_pictures([*base, *last])
    runs = [*base, *last]
    of = ("base", "base", "align", "align").__getitem__
    new_sweep([({"kl": str(n)}, run) for n, run in enumerate(runs)], stages=("base", "align"), of=of)
    return runs


@pytest.mark.usefixtures("lifecycle")
def test_page_knows_what_each_run_started_from_and_how_its_numbers_came_about(read: Read) -> None:
    _, data, _ = _parsed(read)
    by_number = {run["n"]: run for run in data["runs"]}
    place = data["runs"].index(by_number[1])
    fd = str([one["name"] for one in data["numbers"]].index("fd"))
    assert [by_number[n]["from"] for n in range(4)] == [None, None, place, place]
    assert by_number[3]["reads"] == {"Learned.run": "digits/reward"}
    assert [data["protocols"][by_number[n]["q"][fd]] for n in (0, 3)] == ["9 samples, by <eyes>", "99 samples"]
    assert data["runs"][data["lifecycle"]] is by_number[3]
    assert by_number[3]["p"]["prompts"] == list(PROMPTS)


@pytest.mark.usefixtures("lifecycle")
def test_runs_that_were_moved_together_keep_their_lifecycle(folder: Path) -> None:
    (folder / "runs").rename(folder / "archive")
    table = gather("tiny", Path("archive"))
    data = page_data(table, chapters_of(table), Limits())
    start = next(place for place, run in enumerate(data["runs"]) if run["n"] == 1)
    assert [run["from"] for run in data["runs"] if run["n"] > 1] == [start, start]
    assert data["runs"][data["lifecycle"]]["n"] == 3


@pytest.mark.usefixtures("lifecycle")
def test_grids_of_the_lifecycle_come_before_better_ones(read: Read) -> None:
    _, data, _ = _parsed(read, pictures=2)
    assert {run["n"] for run in data["runs"] if run["p"]} == {1, 3}


def test_page_of_runs_that_start_from_none_of_them_has_no_lifecycle(new_run: NewRun, read: Read) -> None:
    new_run(start={"name": "digits/base", "run": "/nowhere"})
    _, data, _ = _parsed(read, "digits/fake")
    assert (data["lifecycle"], data["runs"][0]["from"]) == (None, "digits/base")


def test_runs_that_claim_to_start_from_each_other_end_somewhere(new_run: NewRun, read: Read) -> None:
    runs = [new_run({"average/fd": fd}) for fd in (1.0, 2.0)]
    for run, other in zip(runs, runs[::-1], strict=True):
        run.update_facts(start={"name": "x", "run": str(other.path.resolve())})
    assert _parsed(read, "digits/fake")[1]["lifecycle"] == 0


LOOK = """
requestAnimationFrame(() => {
  const texts = (where) => [...document.querySelectorAll(`#lifecycle ${where}`)].map((one) => one.textContent).join("; ");
  document.title = [texts("tbody th"), texts("tbody tr:last-child td:nth-child(-n+4)"), texts(".prompts"), texts("dt"),
    texts("dd"), document.querySelectorAll("#lifecycle img").length].join(" | ");
});
"""


@needs_chromium
@pytest.mark.usefixtures("lifecycle")
def test_browser_shows_the_lifecycle_of_the_best_last_run(read: Read, tmp_path: Path) -> None:
    text = page(*read()).replace("</body>", f"<script>{LOOK}</script></body>")
    found, console = _opened(text.replace("requestAnimationFrame((", "setTimeout(("), tmp_path)
    prompts = "".join(PROMPTS)
    assert console == ""
    assert found.title == (
        f"base #1; align #3 | base #1; Learned.run digits/reward; kl 3 | {prompts}; {prompts} | "
        "fd after base; fd after align | 9 samples, by <eyes>; 99 samples | 2"
    )
