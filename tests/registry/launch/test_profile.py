"""Profiles: YAML in layers, typed, and every mistake said with its line."""

from pathlib import Path

import pytest
from genever.errors import UserError
from genever.launch import Profile, read_profile


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def _write(text: str, name: str = "experiments/clusters/mine.yaml") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def _refused(name: str = "mine", *overrides: str) -> str:
    with pytest.raises(UserError) as refusal:
        read_profile(name, overrides)
    return str(refusal.value)


def test_profile_is_found_above_the_experiment() -> None:
    _write("minutes: 30\n")
    assert read_profile("mine", near=Path("experiments/digits/pretrain.gin")).minutes == 30


def test_users_own_profile_is_laid_over_the_shipped_one() -> None:
    _write("minutes: 30\nslurm: {partition: gpu, account: a}\n")
    _write("slurm: {account: b}\n", "config/genever/clusters/mine.yaml")
    profile = read_profile("mine")
    assert (profile.minutes, profile.slurm.partition, profile.slurm.account) == (30, "gpu", "b")
    assert profile.places["slurm.account"] == "config/genever/clusters/mine.yaml:1"


def test_profile_starts_from_its_base() -> None:
    _write("kind: slurm\nminutes: 30\nlimit: 2\n", "experiments/clusters/big.yaml")
    _write("base: big\nlimit: 3\n")
    profile = read_profile("mine")
    assert (profile.kind, profile.minutes, profile.limit, profile.name) == ("slurm", 30, 3, "mine")


def test_profile_given_by_its_path_needs_no_clusters_folder() -> None:
    _write("minutes: 5\n", "here.yaml")
    assert read_profile("here.yaml").minutes == 5


def test_overrides_win_and_say_where_they_were_said() -> None:
    _write("minutes: 30\n")
    profile = read_profile("mine", {"minutes=20": "sweep.yaml:4", "slurm.nodelist=n[1-2]": "sweep.yaml:5"})
    assert (profile.minutes, profile.slurm.nodelist) == (20, "n[1-2]")
    assert profile.places["minutes"] == "sweep.yaml:4"


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_kinds_are_profiles_without_a_file(kind: str) -> None:
    assert read_profile(kind) == Profile.from_dict({**Profile().to_dict(), "kind": kind, "name": kind})


def test_values_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "ada")
    _write("slurm: {account: '${oc.env:WHO}'}\n")
    assert read_profile("mine").slurm.account == "ada"


def test_profile_survives_json() -> None:
    profile = read_profile("slurm", ["environment.A=1", "setup=[module load cuda]", "slurm.options.mail-type=FAIL"])
    assert Profile.from_dict(profile.to_dict()) == profile


WRONG = {
    "minuts: 3": "mine.yaml:1: there is no setting 'minuts'. Did you mean minutes?",
    "limit: 2\nslurm:\n  partion: gpu": "mine.yaml:3: there is no setting 'slurm.partion'. Did you mean partition",
    "\nnodes: two": "mine.yaml:2: nodes is 'two'; it must be a whole number.",
    "nodes: 0": "mine.yaml:1: nodes is 0; it must be at least 1.",
    "nodes: 2": "mine.yaml:1: nodes is 2; a local queue is one machine: leave it out, or say kind: slurm.",
    "kind: slurm\nminutes: 2": "mine: slurm.signal_before_s is 120; a start has 2 minutes, which is no longer",
    "kind: slrm": "mine.yaml:1: kind is 'slrm'; it must be 'local' or 'slurm'.",
    "gpus_per_process: 2": "mine.yaml:1: gpus_per_process is 2; a process trains on one GPU or none",
    "minutes: null": "mine.yaml:1: minutes is None; it must be a whole number.",
    "slurm: big": "mine.yaml:1: slurm is 'big'; it must be a mapping.",
    "setup: module load": "mine.yaml:1: setup is 'module load'; it must be a list of shell lines.",
    "setup: [{a: 1}]": "mine.yaml:1: setup is [{'a': 1}]; it is a list of shell lines",
    "environment: [A]": "mine.yaml:1: environment is ['A']; it must be a mapping from names to texts.",
    "slurm: {options: {a: [1]}}": "mine.yaml:1: slurm.options is {'a': [1]}; its values are texts.",
    "memory_gb: ${oc.env:NOT_SET}": "mine.yaml:1: memory_gb is '${oc.env:NOT_SET}'",
    "a: [\nb: 2": "mine.yaml:3: this is no YAML",
    "limit: 1\nlimit: 2": "mine.yaml:2: this is no YAML",
    "- limit": "mine.yaml:1: a profile is lines of the form 'key: value'",
    "base: mine": "the profiles mine -> mine are each other's base.",
    "base: nowhere": "there is no profile 'nowhere', the base of 'mine'. There are: local, mine, slurm",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_profile_is_refused(text: str) -> None:
    _write(f"{text}\n")
    assert WRONG[text] in _refused()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("minutes", "--set: 'minutes' is not of the form KEY=VALUE"),
        ("minutes=x", "--set: minutes is 'x'; it must be a whole number."),
        ("a.b=1", "--set: there is no setting 'a'."),
        ("limit=[1", "--set: the value of 'limit=[1' cannot be read"),
    ],
)
def test_wrong_override_is_refused(override: str, message: str) -> None:
    assert message in _refused("local", override)


def test_unknown_profile_is_refused_with_the_nearest() -> None:
    _write("limit: 2\n")
    assert _refused("mien").startswith("there is no profile 'mien'. Did you mean mine? There are: local, mine, slurm;")
    assert _refused("gone.yaml") == "gone.yaml cannot be read as a profile: No such file or directory."


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_shipped_profile_says_the_defaults(name: str) -> None:
    shipped = Path(__file__).parents[3] / "experiments"
    said, default = read_profile(name, near=shipped).to_dict(), read_profile(name).to_dict()
    assert {**said, "places": {}} == {**default, "places": {}}
