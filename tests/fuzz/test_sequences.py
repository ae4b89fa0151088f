"""Whatever is done in whatever order, one run gives what a run from scratch gives, and the next has nothing to do.

`make verify` draws three fixed sequences of thirty steps, `make fuzz` new ones (UNITSCOPE_SEED names one of those).
"""

import os
import random
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from projects import Project, flip

STEPS = 30
SETTINGS = {
    "networks.small.training.learning_rate": (0.03, 0.02),
    "experiments.small.methods.am.steps": (4, 6),
    "experiments.small.figures": ({"dpi": 50}, {"dpi": 60}),
    "experiments.small.ablation": ({"images": 50}, {"images": 60}),
}
ACTS = (
    *("change", "change", "kill", "delete", "delete", "edit", "flip", "commit", "git", "dvc", "restore", "touch"),
    *("run", "run", "repro", "forget"),
)
JOBS = ("checkpoint", "images", "activations", "ablation", "units", "figures")


class Actor:
    """Somebody who works on a study, by chance.

    Attributes:
        done: What was done so far, to be told where the result is wrong.
    """

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.chance, self.done = project, random.Random(seed), []
        self.commits = 1

    def act(self) -> None:
        """Do one thing."""
        name = self.chance.choice(ACTS)
        self.done.append(name)
        getattr(self, name)()

    def artifact(self) -> Path:
        """Return one of the artifacts."""
        artifacts = [name for name in self.project.hashes() if not name.endswith(".json")]
        return self.project.folder / self.chance.choice(artifacts) if artifacts else self.project.folder / "README.md"

    def change(self) -> None:
        """Change a setting."""
        path, values = self.chance.choice(list(SETTINGS.items()))
        self.project.change(path, self.chance.choice(values))

    def kill(self) -> None:
        """Begin a run, and kill a job, or everything."""
        running = self.project.start(self.chance.choice(["make run", "dvc repro"]))
        try:
            job = self.project.wait_for(self.chance.choice(JOBS), 20)
            self.chance.choice([job.kill, lambda: os.killpg(running.pid, signal.SIGKILL)])()
            psutil.wait_procs([job])
        except (TimeoutError, psutil.NoSuchProcess):
            # There was nothing to do, or it was over.
            pass
        running.communicate()
        self.project.run("python", "-m", "unitscope", "unlock")

    def delete(self) -> None:
        """Delete an artifact."""
        path = self.artifact()
        if "README" not in path.name:
            path.unlink()

    def edit(self) -> None:
        """Add something to an artifact, as an editor does."""
        path = self.artifact()
        if "README" not in path.name:
            path.write_bytes(path.read_bytes() + b"\n")

    def flip(self) -> None:
        """Let the disk change a bit of an artifact."""
        path = self.artifact()
        if "README" not in path.name:
            flip(path, -1)

    def commit(self) -> None:
        """Commit whatever is there."""
        self.project.run("git", "checkout", "--quiet", "-B", "main")
        self.project.commit(f"commit {self.commits}")
        self.commits += 1

    def git(self) -> None:
        """Look at an older commit, with git alone."""
        self.project.run("git", "checkout", "--quiet", "--force", f"HEAD~{self.chance.randrange(self.depth())}")

    def depth(self) -> int:
        """Return how many commits there are to go back to."""
        return int(self.project.run("git", "rev-list", "--count", "HEAD"))

    def dvc(self) -> None:
        """Let DVC check out what its lock file records; what it does not find it says."""
        self.project.try_to_run("dvc", "checkout", "--force")

    def restore(self) -> None:
        """Fetch from the remote, where that belongs to what is here."""
        self.project.try_to_run("python", "-m", "unitscope", "restore")

    def touch(self) -> None:
        """Let Snakemake touch everything, stale or not."""
        self.project.try_to_run("snakemake", "--touch", "--forceall", "--cores", "1")

    def run(self) -> None:
        """Run the flow."""
        self.project.snakemake()

    def repro(self) -> None:
        """Run DVC's pipeline."""
        self.project.dvc_repro()

    def forget(self) -> None:
        """Lose what this machine knows, as a new one does."""
        shutil.rmtree(self.project.folder / ".snakemake", ignore_errors=True)


def check(project: Project, folder: Path, seed: int) -> None:
    """Let somebody act, then run, and compare."""
    project.run("dvc", "remote", "modify", "store", "url", str(folder / "store"))
    project.commit("results")
    project.run("dvc", "push")
    actor = Actor(project, seed)
    try:
        for _ in range(STEPS):
            actor.act()
        actor.done.append("the end")
        engine = actor.chance.choice(["snakemake", "make run", "dvc repro"])
        project.run(*project.command(engine))
        artifacts = project.hashes()
        scratch = Project.create(folder / "scratch", project.config())
        scratch.run("snakemake", "--cores", "8", "--no-hooks")
        expected = scratch.hashes()
        assert {name for name in {**artifacts, **expected} if artifacts.get(name) != expected.get(name)} == set()
        assert "Nothing to be done" in project.run("snakemake", "-n")
        assert project.dvc_repro().count("Running stage") == 1
    except AssertionError as error:
        error.add_note(f"seed {seed}: {', '.join(actor.done)}")
        raise


@pytest.mark.verify
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fixed_sequence_equals_a_run_from_scratch(project, tmp_path, seed):
    check(project, tmp_path, seed)


@pytest.mark.fuzz
def test_random_sequence_equals_a_run_from_scratch(project, tmp_path):
    check(project, tmp_path, int(os.environ.get("UNITSCOPE_SEED", random.SystemRandom().randrange(2**31))))
