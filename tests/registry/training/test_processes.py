"""Several processes train as one does, and go on where other numbers of them stopped."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from genever.execution import REQUEUE, STOPPED
from genever.runs import RunDirectory, write_whole
from genever.testing import start_together, train_together
from genever.training import load_model_state
from torch import Tensor

BASE = """
train.data        = @Digits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.optimizer   = @AdamW()
train.averages    = {'ema': @average.Constant()}
train.steps       = 6
train.batch_size  = 16
train.log_every   = 1
train.save_every  = 2
train.sample_images    = 4
train.validate_samples = 8
AdamW.lr          = 1e-3
DiT.width         = 16
DiT.depth         = 2
DiT.heads         = 2
"""
#: One of each kind; tests/plugins/test_processes.py has toys of all of them.
METHODS = {
    "plain": "train.accumulate = 2",
    "dreambooth": "train.tuner = @DreamBooth()\nDreamBooth.labels = (0, 1, 2)\nDreamBooth.num_prior = 6",
    "ladd": "train.accumulate = 2\ntrain.distiller = @LADD()\nLADD.num_synthetic = 6\nLADD.head_width = 16\n"
    "LADD.r1_weight = 10.0",
    "terms": "train.accumulate = 2\ntrain.aligner = @Together()\nTogether.aligners = [@Dispersive(), @SelfAlignment()]\n"
    "Dispersive.tap = 1\nSelfAlignment.tap = 1\nSelfAlignment.teacher_tap = 2\naverage.Constant.decay = 0.5",
}

NewRun = Callable[[str, Path], RunDirectory]
Compose = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def start(new_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A trained run, for methods that start from one."""
    run = new_run(BASE, tmp_path_factory.mktemp("start"))
    assert train_together(run.path, 1) == [0]
    return run


@pytest.fixture
def compose(new_run: NewRun, tmp_path: Path, start: RunDirectory) -> Compose:
    """Freezes the small experiment with some lines more into a new run's directory."""
    numbers = iter(range(100))

    def make(lines: str = "", *, started: bool = False) -> RunDirectory:
        lines += f"\ntrain.start = {str(start.path)!r}" if started else ""
        return new_run(f"{BASE}{lines}\n", tmp_path / str(next(numbers)))

    return make


def weights(run: RunDirectory) -> dict[str, Tensor]:
    return load_model_state(run, run.saved_steps()[-1], None)


def losses(run: RunDirectory) -> list[tuple[int, float]]:
    """Of every step: the first term of the model's group."""
    return [(line["step"], next(v for k, v in line.items() if k.startswith("model/"))) for line in steps(run)]


def steps(run: RunDirectory) -> list[dict[str, float]]:
    return [line for line in run.read_metrics() if "model/lr" in line]


def assert_same_bits(one: RunDirectory, other: RunDirectory) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)


def assert_close(one: RunDirectory, other: RunDirectory) -> None:
    """As far as the order of sums may differ, which Adam enlarges where a gradient is next to nothing."""
    ours, theirs = weights(one), weights(other)
    start = torch.cat([tensor.flatten().double() for tensor in theirs.values()])
    apart = torch.cat([(ours[name] - theirs[name]).flatten().double() for name in theirs])
    assert apart.norm() / start.norm() < 1e-4


def both(compose: Compose, method: str, parallel: str) -> tuple[RunDirectory, RunDirectory]:
    """A method's run in one process, and in two."""
    lines, started = f"{METHODS[method]}\ntrain.parallel = @{parallel}()", method != "plain"
    one, two = (compose(lines, started=started) for _ in range(2))
    assert train_together(one.path, 1) == [0]
    assert train_together(two.path, 2) == [0, 0]
    return one, two


def assert_trained_alike(one: RunDirectory, other: RunDirectory) -> None:
    assert_close(other, one)
    assert [step for step, _ in losses(other)] == [step for step, _ in losses(one)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one_does(compose: Compose, method: str) -> None:
    assert_trained_alike(*both(compose, method, "DDP"))


@pytest.mark.parametrize("method", ["plain", "dreambooth", "ladd"])
def test_two_processes_train_as_one_does_in_shards(compose: Compose, method: str) -> None:
    """A model alone, beside a prior, and through a frozen network."""
    assert_trained_alike(*both(compose, method, "FSDP"))


def test_weights_that_stay_gathered_are_those_of_the_moment(compose: Compose) -> None:
    """The average's while it is lent, the model's afterwards, whether each block's are given back after its pass or not."""
    lines = "train.parallel = @FSDP()\ntrain.validate_every = 1\ntrain.save_every = None\nFSDP.reshard = "
    kept, given_back = (compose(f"{lines}{reshard}") for reshard in (False, True))
    for run in (kept, given_back):
        assert train_together(run.path, 2) == [0, 0]
    assert_same_bits(kept, given_back)
    ours, theirs = ([line.get("raw/validation_loss") for line in run.read_metrics()] for run in (kept, given_back))
    assert ours == theirs


@pytest.mark.parametrize("parallel", ["DDP", "FSDP"])
def test_two_processes_end_with_the_same_bits_each_time(compose: Compose, parallel: str) -> None:
    runs = [compose(f"{METHODS['terms']}\ntrain.parallel = @{parallel}()") for _ in range(2)]
    for run in runs:
        assert train_together(run.path, 2) == [0, 0]
    assert_same_bits(*runs)


@pytest.mark.parametrize("parallel", ["DDP", "FSDP"])
def test_run_goes_on_with_another_number_of_processes(compose: Compose, parallel: str) -> None:
    lines = f"{METHODS['terms']}\ntrain.parallel = @{parallel}()\ntrain.steps = 8"
    whole, run = compose(lines), compose(lines)
    assert train_together(whole.path, 1) == [0]
    for size in (1, 2, 4):
        train_two_steps(run, size)
    assert train_together(run.path, 1) == [0]
    assert_close(run, whole)
    for (step, ours), (same, theirs) in zip(losses(run), losses(whole), strict=True):
        assert step == same
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("parallel", ["DDP", "FSDP"])
def test_run_of_several_processes_goes_on_with_the_same_bits(compose: Compose, parallel: str) -> None:
    """Of more than two, whose sums depend on their order."""
    lines = f"train.parallel = @{parallel}()\ntrain.steps = 8\nDiT.width = 64"
    whole, run = compose(lines), compose(lines)
    assert train_together(whole.path, 4) == [0] * 4
    train_two_steps(run, 4)
    assert train_together(run.path, 4) == [0] * 4
    assert_same_bits(run, whole)


def test_run_goes_on_without_the_start_that_made_its_prior(compose: Compose, start: RunDirectory) -> None:
    lines = f"{METHODS['dreambooth']}\ntrain.steps = 8"
    whole, run = compose(lines, started=True), compose(lines, started=True)
    assert train_together(whole.path, 1) == [0]
    train_two_steps(run, 1)
    gone = start.path.rename(start.path.with_name("gone"))
    try:
        assert train_together(run.path, 1) == [0]
    finally:
        gone.rename(start.path)
    assert_same_bits(run, whole)


def train_two_steps(run: RunDirectory, size: int) -> None:
    """Stops a run after it saved once more, by a copy of it whose stage ends there."""
    frozen, saved = run.resolved.read_text(), run.saved_steps()
    until = (saved[-1] if saved else 0) + 2
    write_whole(run.resolved, frozen.replace("train.steps = 8", f"train.steps = {until}"))
    assert train_together(run.path, size) == [0] * size
    write_whole(run.resolved, frozen)
    run.drop_metrics_after(until)


def test_hybrid_shards_train_as_one_process_does(compose: Compose) -> None:
    lines = "train.parallel = @FSDP()\nFSDP.shard = 2"
    one, four = compose(lines), compose(lines)
    assert train_together(one.path, 1) == [0]
    assert train_together(four.path, 4) == [0] * 4
    assert_close(four, one)


def test_blocks_compile_on_their_own_in_shards(compose: Compose) -> None:
    lines = "train.parallel = @FSDP()\ntrain.compile = 'blocks'\ntrain.precision = 'bf16'\ntrain.steps = 2\nDiT.depth = 1"
    run = compose(lines)
    # One block is compiled sooner than a pool of compilers has started.
    environment = {"TORCH_COMPILE_DISABLE": "0", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    assert train_together(run.path, 2, environment=environment) == [0, 0]
    assert run.facts["status"] == "finished"


def test_samples_are_shared_out_and_judged_as_one_process_would(compose: Compose) -> None:
    lines = "train.metrics = [@metric.Reward()]\nmetric.Reward.reward = @Ink()\ntrain.evaluate_samples = 21\ntrain.steps = 1"
    one, two = compose(lines), compose(lines)
    assert train_together(one.path, 1) == [0]
    assert train_together(two.path, 2) == [0, 0]
    ours, theirs = (run.facts["results"]["average/reward"] for run in (two, one))
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert len(list(two.samples.glob("*.png"))) == len(list(one.samples.glob("*.png")))


def test_signal_to_one_process_saves_in_all_and_the_run_goes_on(compose: Compose) -> None:
    lines = "train.steps = 400\ntrain.save_every = None"
    whole, run = compose(lines), compose(lines)
    assert train_together(whole.path, 2) == [0, 0]
    processes = start_together(run.path, 2)
    wait_for(lambda: run.metrics.exists() and run.metrics.read_text().count("\n") > 3)
    assert processes[1].pid
    os.kill(processes[1].pid, signal.SIGUSR2)
    assert ended(processes) == [REQUEUE, REQUEUE]
    assert run.facts["status"] == "preempted"
    (saved,) = run.saved_steps()
    assert 3 < saved < 400
    assert train_together(run.path, 2) == [0, 0]
    assert_same_bits(run, whole)


def test_death_of_one_process_ends_the_others_and_the_run_goes_on(compose: Compose) -> None:
    lines = "train.steps = 400\ntrain.save_every = 50"
    run = compose(lines)
    processes = start_together(run.path, 2)
    wait_for(lambda: bool(run.saved_steps()))
    processes[1].kill()
    codes = ended(processes)
    assert codes == [1, -signal.SIGKILL]
    assert run.facts["status"] == "failed"
    assert run.facts["reason"].startswith("rank 0 on ")
    assert train_together(run.path, 2) == [0, 0]
    assert (run.facts["status"], run.facts["reason"], run.failure) == ("finished", None, None)


def test_loss_that_is_not_finite_stops_all_at_the_same_step(compose: Compose) -> None:
    run = compose("AdamW.lr = 1e+30\ntrain.clip_norm = None\ntrain.skip_nonfinite = 1")
    assert train_together(run.path, 2) == [1, 1]
    assert "group 'model' is not finite at step" in run.facts["reason"]
    assert {file.name for file in run.path.glob("nonfinite/*/*")} == {
        "batch_0.safetensors",
        "batch_1.safetensors",
        "step.json",
    }


def test_attempt_takes_a_run_over_from_the_one_before(compose: Compose) -> None:
    run = compose("train.steps = 100000\ntrain.save_every = None")
    first = start_together(run.path, 1)
    wait_for(lambda: run.metrics.exists() and run.metrics.read_text().count("\n") > 3)
    second = start_together(run.path, 1)
    assert ended(first) == [STOPPED]
    wait_for(lambda: json.loads(run.heartbeat.read_text())["attempt"] == run.owner)
    assert run.saved_steps()
    assert run.facts["status"] == "running"
    assert second[0].pid
    os.kill(second[0].pid, signal.SIGTERM)
    assert ended(second) == [STOPPED]
    assert run.facts["status"] == "stopped"


@pytest.mark.parametrize(
    ("line", "size", "message"),
    [
        (
            "train.batch_size = 10",
            4,
            "train.batch_size = 10 in train.accumulate = 1 parts cannot be split among 4 processes",
        ),
        ("train.parallel = None", 2, "train.parallel = None means one process, but 2 were started"),
        ("train.parallel = @FSDP()\nFSDP.shard = 3", 2, "parallel.FSDP.shard = 3 does not divide the 2 processes"),
    ],
)
def test_composition_that_does_not_fit_the_processes_is_refused(
    compose: Compose, line: str, size: int, message: str
) -> None:
    run = compose(line)
    assert set(train_together(run.path, size)) == {2}
    assert message in run.facts["reason"]


def test_interface_that_is_not_there_is_named(compose: Compose) -> None:
    run = compose()
    codes = train_together(run.path, 2, environment={"GENEVER_INTERFACE": "eth99", "GENEVER_PATIENCE": "5"})
    assert codes[0] == 2
    assert "there is no network interface 'eth99' on " in run.facts["reason"]


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def ended(processes: list) -> list[int]:
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]


def test_address_of_a_start_that_was_killed_misleads_nobody(compose: Compose) -> None:
    run = compose("train.steps = 1")
    (run.path / ".meeting_").write_text("127.0.0.1 9\n")
    late = "import os, time\nif os.environ['RANK'] == '0':\n    time.sleep(3)"
    by_hand = {"GENEVER_ATTEMPT": "", "GENEVER_PATIENCE": "30"}
    processes = start_together(run.path, 2, environment=by_hand, before=late)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
