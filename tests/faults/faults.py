"""Disturb the flow in every way that a machine knows; `make faults` prints what was done and what came of it.

After each fault and a rerun every artifact has to be that of an undisturbed run, byte for byte, and nothing temporary
may be left. Kills hit real processes with signal 9; those inside a function are done by tests/kill_at.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from projects import KILL_AT, SMALL, Project, is_script

STUDY = yaml.safe_load(yaml.safe_dump(SMALL))
STUDY["networks"]["small"]["training"] = {"epochs": 10}
STUDY["experiments"]["small"] |= {
    "layers": ["hidden1", "hidden2"],
    "images": {"batch": 2},
    "methods": {"am": {"steps": 64}, "iam": {"steps": 64}},
    "analyses": ["cumulative"],
}
CHECKPOINT, IMAGES = "data/checkpoints/small.pt", "results/small/images/hidden1.am.h5"


@dataclass(frozen=True)
class Point:
    """A function in which a program is killed.

    Attributes:
        what: What happens there.
        script: The program.
        function: As tests/kill_at names it.
        artifact: What the program makes.
        shares: At which shares of its calls.
    """

    what: str
    script: str
    function: str
    artifact: str
    shares: tuple[float, ...] = (0.05, 0.3, 0.55, 0.8, 1.0)


POINTS = [
    Point("training", "checkpoint", "augmented", CHECKPOINT),
    Point("ascent", "images", "Adam.step", IMAGES),
    Point("HDF5 write", "images", "Group.create_dataset", IMAGES),
    Point("HDF5 write", "dataset", "Group.create_dataset", "data/datasets/digits.h5"),
    Point("HDF5 write", "activations", "Dataset.__setitem__", "results/small/activations.h5", (0.1, 0.9)),
    Point("before a rename", "images", "before:replace", IMAGES, (0.5, 1.0)),
    Point("behind a rename", "images", "after:replace", IMAGES, (0.5, 1.0)),
    Point("before a rename", "checkpoint", "before:replace", CHECKPOINT, (0.1, 0.95)),
    Point("behind a rename", "checkpoint", "after:replace", CHECKPOINT, (0.95, 1.0)),
]


class Flow:
    """A project whose undisturbed results are known.

    Attributes:
        project: Where it runs.
        expected: Checksum of every artifact.
    """

    def __init__(self, folder: Path) -> None:
        self.project = Project.create(folder, STUDY)
        self.run()
        self.expected = self.project.hashes()

    def start(self, *words: str, **environment: str) -> subprocess.Popen:
        """Start Snakemake as a user does, in a session of its own."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return subprocess.Popen(
            ["snakemake", "--cores", "2", *words],
            cwd=self.project.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A process that was started in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def unlock(self) -> None:
        """Do what `make run` does before it runs Snakemake."""
        self.project.run("python", "-m", "unitscope", "unlock")

    def run(self, *words: str) -> None:
        """Do what `make run` does."""
        self.unlock()
        self.project.run("snakemake", "--cores", "2", *words)

    def scripts(self) -> list[psutil.Process]:
        """Return the running programs of the flow."""
        programs = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.project.folder) and process.cmdline()[1:2][0].startswith("scripts/"):
                    programs.append(process)
            except (psutil.Error, IndexError):
                continue
        return programs

    def check(self) -> None:
        """Hold the artifacts against the undisturbed ones, and look for what was left behind."""
        artifacts = self.project.hashes()
        different = {name for name in {**artifacts, **self.expected} if artifacts.get(name) != self.expected.get(name)}
        assert not different, f"not those of an undisturbed run: {sorted(different)}"
        folder = self.project.folder
        hidden_files = [path for top in ("data", "results") for path in (folder / top).rglob(".*")]
        assert not hidden_files, f"left behind: {hidden_files}"
        resume_files = [path for path in (folder / ".resume").rglob("*") if path.is_file()]
        assert not resume_files, f"left behind: {resume_files}"

    def wait_for(self, script: str, seconds: float = 180.0) -> psutil.Process:
        """Return a program of the flow as soon as it runs."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for process in self.scripts():
                with contextlib.suppress(psutil.Error, IndexError):
                    if is_script(process.cmdline()[1], script):
                        return process
            time.sleep(0.05)
        raise TimeoutError(f"{script} did not run within {seconds:.0f} s")

    def wait_until_begun(self, snakemake: subprocess.Popen, programs: int) -> None:
        """Wait until so many programs of the flow have been seen since, or Snakemake has ended."""
        seen: set[tuple[int, float]] = set()
        while len(seen) < programs and snakemake.poll() is None:
            with contextlib.suppress(psutil.Error):
                seen |= {(process.pid, process.create_time()) for process in self.scripts()}
            time.sleep(0.05)

    def forget(self, *artifacts: str) -> None:
        """Delete artifacts, and DVC's copies of them, so that their programs run again."""
        shutil.rmtree(self.project.folder / ".dvc/cache", ignore_errors=True)
        for artifact in artifacts:
            (self.project.folder / artifact).unlink(missing_ok=True)

    def killed_at(self, point: Point, number: int) -> tuple[bool, int]:
        """Kill a point's program in its n-th call; return whether it was hit, and the calls of the rerun."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "armed"
            file.touch(exist_ok=True)
            environment = {
                "PYTHONPATH": KILL_AT,
                "KILL_AT": f"{point.script}|{point.function}|{number}|{file}",
            }
            self.forget(point.artifact)
            self.start("--", point.artifact, **environment).communicate()
            hit = not file.exists()
            # The same words, so that the calls are counted again; nothing is armed any more.
            file.unlink(missing_ok=True)
            done = self.start("--", point.artifact, **environment)
            output, _ = done.communicate()
            assert done.returncode == 0, output
            calls = Path(f"{file}.calls")
            return hit, int(calls.read_text()) if calls.exists() else 0

    def calls_of(self, point: Point) -> int:
        """Return how often a point's program calls the function when nothing disturbs it."""
        return self.killed_at(point, 0)[1]


def kills_at_points(flow: Flow, points: list[Point]) -> Iterator[tuple[str, ...]]:
    """Kill inside of functions; yield what was done, the calls of the rerun and those of a run without a kill."""
    for point in points:
        total = flow.calls_of(point)
        for share in point.shares:
            number = max(1, round(total * share))
            hit, again = flow.killed_at(point, number)
            assert hit, f"{point} has not been hit in call {number} of {total}"
            flow.run()
            flow.check()
            yield point.what, f"{point.script}.py", f"call {number} of {total}", f"{again} calls in the rerun"
            if point.function in ("augmented", "Adam.step"):
                # What was finished is not done again: of ten epochs one, of twelve images two at a time.
                lost = number + again - total
                assert 0 <= lost <= 0.2 * total + 1, f"{lost} of {total} calls were lost"


def kills_at_random(flow: Flow, chance: random.Random, count: int) -> Iterator[tuple[str, ...]]:
    """Kill a running program, or Snakemake itself, at random moments of the flow; yield what was hit.

    Moments are counted in programs that have begun, so that they are spread over the whole flow on any machine.
    """
    killed = 0
    while killed < count:
        flow.forget(*flow.expected)
        for folder in (".snakemake/metadata", ".snakemake/incomplete"):
            for path in (flow.project.folder / folder).glob("*"):
                path.unlink()
        while killed < count:
            flow.unlock()
            started = flow.start()
            flow.wait_until_begun(started, chance.randint(0, 4))
            # Within a program's start, its work or its end; or between two of them.
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(chance.uniform(0.0, 3.0))
            if started.poll() is not None:
                # The whole flow is there before the kill: from the start again.
                assert started.returncode == 0, started.communicate()[0]
                break
            running = flow.scripts()
            itself = chance.random() < 0.4 or not running
            victim = psutil.Process(started.pid) if itself else chance.choice(running)
            with contextlib.suppress(psutil.NoSuchProcess):
                name = "Snakemake" if itself else Path(victim.cmdline()[1]).name
                others = ", ".join(sorted(Path(each.cmdline()[1]).name for each in running))
                victim.send_signal(signal.SIGKILL)
                killed += 1
                yield "at random", name, f"while {others or 'nothing'} ran", ""
            started.communicate()
        flow.run()
        flow.check()


def stopped(flow: Flow) -> Iterator[tuple[str, ...]]:
    """Stop Snakemake by SIGTERM and, with its jobs, by Ctrl-C, while images are made; yield what was done."""
    for name, number in {"SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}.items():
        flow.forget(IMAGES)
        started = flow.start("--", IMAGES)
        flow.wait_for("images")
        # A terminal sends Ctrl-C to the whole group.
        os.killpg(started.pid, number) if name == "Ctrl-C" else started.send_signal(number)
        output, _ = started.communicate(timeout=300)
        if name == "Ctrl-C":
            assert started.returncode, output
        psutil.wait_procs(flow.scripts())
        assert not list((flow.project.folder / ".snakemake/locks").glob("*")), output
        flow.run("--", IMAGES)
        flow.check()
        yield name, "Snakemake", "while images.py ran", ""


def snakemake_killed(flow: Flow) -> Iterator[tuple[str, ...]]:
    """Kill Snakemake alone; yield what its orphan and its lock do to those who come next."""
    flow.forget(IMAGES)
    started = flow.start("--", IMAGES)
    orphan = flow.wait_for("images")
    started.kill()
    # Held, so that it still works when the next one has looked around: what it writes is known, and would be fresh.
    orphan.suspend()
    refused = flow.start("--", IMAGES)
    output, _ = refused.communicate(timeout=300)
    assert refused.returncode and "--unlock" in output, output
    orphan.resume()
    # What `make run` does waits for the orphan.
    flow.run("--", IMAGES)
    assert not orphan.is_running()
    # Its output ends with the orphan's.
    started.communicate()
    flow.check()
    yield "killed", "Snakemake", "while images.py ran on", "a plain Snakemake asks for --unlock, `make run` goes on"


def two_at_once(flow: Flow) -> Iterator[tuple[str, ...]]:
    """Start a second Snakemake while one works; yield what it is told."""
    flow.forget(IMAGES)
    first = flow.start("--", IMAGES)
    working = flow.wait_for("images")
    # Held, so that it still works when the second has looked around.
    working.suspend()
    second = flow.start("--", IMAGES)
    output, _ = second.communicate(timeout=300)
    assert second.returncode and "cannot be locked" in output, output
    other = flow.project.try_to_run("python", "-m", "unitscope", "unlock")
    assert other.returncode == 1 and f"process {first.pid}" in other.stdout, other.stdout
    working.resume()
    output, _ = first.communicate(timeout=600)
    assert first.returncode == 0, output
    flow.check()
    yield "two at once", "Snakemake", "the second is refused", "also by what `make run` does first"


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something on a folder, which only root may."""
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def disk_full(flow: Flow, shares: tuple[float, ...]) -> Iterator[tuple[str, ...]]:
    """Let results lie on a disk with room for a share of them, then for all; yield which program it stopped."""
    folder = flow.project.folder / "results"
    total = sum((flow.project.folder / name).stat().st_size for name in flow.expected if name.startswith("results"))
    flow.forget(*(name for name in flow.expected if name.startswith("results")))
    for share in shares:
        with mounted(folder, "-t", "tmpfs", "-o", f"size={int(total * share)}", "tmpfs"):
            started = flow.start()
            output, _ = started.communicate()
            assert started.returncode and "no space left on the disk" in output.lower(), output
            subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
            flow.run()
            flow.check()
        yield "disk full", "results", f"at {share:.0%} of {total / 1e6:.1f} MB", "goes on once there is room"
    flow.run()


def read_only(flow: Flow) -> Iterator[tuple[str, ...]]:
    """Let results lie on a disk that is read-only; yield what is said."""
    folder = flow.project.folder / "results"
    flow.forget("results/small/units.csv")
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        started = flow.start()
        output, _ = started.communicate()
        # Which of the files it names first is Snakemake's own affair.
        assert started.returncode and "Write-protected" in output and "results/small" in output, output
    flow.run()
    flow.check()
    yield "read-only", "results", "", "Snakemake names a file before anything runs"


def may_mount() -> bool:
    """Return whether file systems may be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(Path(folder), "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
                return True
        except (subprocess.CalledProcessError, OSError):
            return False


def main() -> None:
    """Print the table."""
    kinds = {
        "points": lambda flow: kills_at_points(flow, POINTS),
        "stopped": stopped,
        "snakemake": snakemake_killed,
        "two": two_at_once,
        "random": lambda flow: kills_at_random(flow, random.Random(arguments.seed), arguments.kills),
        "full": lambda flow: disk_full(flow, (0.02, 0.1, 0.3, 0.6, 0.9)),
        "read-only": read_only,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=30, help="at random moments")
    parser.add_argument("--only", nargs="+", choices=kinds, default=list(kinds), help="kinds of faults")
    arguments = parser.parse_args()
    selected = dict.fromkeys(arguments.only)
    if not may_mount():
        print("Only root may mount file systems: no full and no read-only disk.")
        selected = {kind: None for kind in selected if kind not in ("full", "read-only")}
    with tempfile.TemporaryDirectory() as folder:
        flow = Flow(Path(folder) / "project")
        started, rows = time.monotonic(), 0
        for kind in selected:
            for row in kinds[kind](flow):
                rows += 1
                print(
                    f"{rows:3} {time.monotonic() - started:6.0f} s  " + "  ".join(f"{cell:18}" for cell in row),
                    flush=True,
                )
    print(f"{rows} faults; every artifact is that of an undisturbed run.")


if __name__ == "__main__":
    main()
