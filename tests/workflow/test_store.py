"""Sharing artifacts: real git, the real DVC with remotes of its own, and the real Snakemake behind them."""

import contextlib
import copy
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from projects import IDENTITY, SMALL, Project, flip

from unitscope.storage.hdf5 import open_hdf5


def restore(project: Project) -> subprocess.CompletedProcess:
    return project.try_to_run("python", "-m", "unitscope", "restore")


def stored(top: Path, project: Project, name: str) -> Path:
    """Return where a store keeps the content of an artifact."""
    md5 = hashlib.md5((project.folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    return top / "files/md5" / md5[:2] / md5[2:]


@pytest.fixture(scope="session")
def shared(finished, once) -> Project:
    """Return a project whose finished run is committed and lies in the remote beside it. Not to be changed."""

    def push(folder: Path) -> None:
        project = finished.copy(folder / "project")
        project.commit("results")
        project.run("dvc", "push")

    return Project(once("pushed", push) / "project")


@pytest.fixture
def sharing(shared, tmp_path) -> Project:
    """Return a copy of the shared project, its remote beside it."""
    shutil.copytree(shared.folder.parent / "unitscope-store", tmp_path / "unitscope-store")
    return shared.copy(tmp_path / "project")


# --- restore ---------------------------------------------------------------------------------------------------------


def test_restored_clone_has_nothing_to_run(sharing, tmp_path):
    for number in range(3):
        colleague = sharing.clone(tmp_path / f"colleague{number}")
        done = restore(colleague)
        assert done.returncode == 0, done.stdout
        assert colleague.hashes() == sharing.hashes()
        assert "Nothing to be done" in colleague.run("snakemake", "-n")
    assert colleague.run("git", "status", "--short") == ""
    assert colleague.executed("dvc repro") == set()
    # What is restored is whole: a change computes only what it concerns.
    colleague.change("experiments.small.methods.am.steps", 6)
    assert "small/images/hidden1.iam" not in colleague.executed("snakemake")


def test_artifacts_of_other_settings_are_not_restored(sharing, tmp_path):
    sharing.change("experiments.small.methods.am.steps", 6)
    sharing.run("git", "add", "config.yaml")
    sharing.run("git", *IDENTITY, "commit", "--quiet", "-m", "a change without its results")
    colleague = sharing.clone(tmp_path / "colleague")
    done = restore(colleague)
    assert done.returncode == 1
    message = " ".join(done.stdout.split())
    assert "images/hidden1.am.h5 was written with other settings" in message and "dvc repro" in message
    assert "Traceback" not in message
    assert "Nothing to be done" not in colleague.run("snakemake", "-n")


@pytest.mark.verify
def test_restore_accepts_a_changed_comment(sharing, tmp_path):
    sharing.edit("unitscope/scores/selectivity.py", '"""', '"""A word more. ')
    sharing.run("git", *IDENTITY, "commit", "--quiet", "--all", "-m", "a comment")
    colleague = sharing.clone(tmp_path / "colleague")
    assert restore(colleague).returncode == 0
    assert "Nothing to be done" in colleague.run("snakemake", "-n")


def test_restore_without_a_lock_file_is_reported(sharing, tmp_path):
    sharing.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    sharing.run("git", *IDENTITY, "commit", "--quiet", "-m", "no lock")
    done = restore(sharing.clone(tmp_path / "colleague"))
    assert done.returncode == 1 and "dvc.lock" in done.stdout and "Traceback" not in done.stdout


# --- runs of DVC -----------------------------------------------------------------------------------------------------


@pytest.mark.verify
def test_reverted_training_is_restored_from_the_run_cache(sharing):
    before = sharing.hashes()
    sharing.dvc_repro()
    sharing.change("networks.small.training.learning_rate", 0.02)
    sharing.dvc_repro()
    assert sharing.hashes()["data/checkpoints/small.pt"] != before["data/checkpoints/small.pt"]
    sharing.change("networks.small.training.learning_rate", 0.03)
    assert "checkpoints/small" not in sharing.executed("dvc repro")
    assert sharing.hashes() == before
    assert sharing.executed("snakemake") == set()
    assert sharing.hashes() == before


@pytest.fixture
def retrained(shared, once, tmp_path) -> Project:
    """Return a copy of the shared project in which DVC has made the checkpoint of another setting beside it."""

    def retrain(folder: Path) -> None:
        project = shared.copy(folder / "project")
        project.dvc_repro()
        project.change("networks.small.training.learning_rate", 0.02)
        project.run("dvc", "repro", "checkpoint@small")

    shutil.copytree(shared.folder.parent / "unitscope-store", tmp_path / "unitscope-store")
    return Project(once("retrained", retrain) / "project").copy(tmp_path / "project")


@pytest.mark.verify
def test_checkpoint_of_a_reverted_setting_is_reused(shared, retrained):
    sharing = retrained
    before, other, checkpoint = shared.hashes(), sharing.hashes(), "data/checkpoints/small.pt"
    assert other[checkpoint] != before[checkpoint]
    sharing.change("networks.small.training.learning_rate", 0.03)
    assert "checkpoints/small" not in sharing.executed("dvc repro")
    assert sharing.hashes() == before
    assert sharing.executed("snakemake") == set()
    assert "Nothing to be done" in sharing.run("snakemake", "-n")
    # And so are those of the other setting, by the plain flow.
    sharing.change("networks.small.training.learning_rate", 0.02)
    executed = sharing.executed("snakemake")
    assert "checkpoints/small" not in executed and "small/activations" in executed
    assert sharing.hashes()[checkpoint] == other[checkpoint]


@pytest.mark.verify
@pytest.mark.parametrize("changed", ["code", "data set"])
def test_checkpoint_of_other_code_or_data_is_not_reused(retrained, changed):
    sharing = retrained
    sharing.change("networks.small.training.learning_rate", 0.03)
    sharing.run("dvc", "repro", "checkpoint@small")
    if changed == "code":
        sharing.edit("unitscope/networks/training.py", "def train(", "TIMES = 2\n\n\ndef train(")
        assert "checkpoints/small" in sharing.executed("snakemake")
    else:
        # The file that lies there is that of the other setting, and would be taken along with the checkpoint.
        sharing.change("datasets.digits.test_fraction", 0.2)
        assert {"datasets/digits", "checkpoints/small"} <= sharing.executed("snakemake")


@pytest.mark.verify
def test_two_commits_are_compared(sharing):
    sharing.change("experiments.small.methods.am.steps", 9)
    sharing.change("networks.small.training.epochs", 2)
    sharing.dvc_repro()
    sharing.commit("other settings")
    metrics = json.loads(sharing.run("dvc", "metrics", "diff", "HEAD~1", "--json"))
    record = json.loads((sharing.folder / "data/checkpoints/small.json").read_text())
    assert metrics["data/checkpoints/small.json"]["test.accuracy"]["new"] == record["test"]["accuracy"]
    moved = metrics["results/small.metrics.json"]
    assert moved["accuracy"]["new"] == record["test"]["accuracy"] != moved["accuracy"]["old"]
    assert any(name.startswith("spearman.hidden1.am.") and difference.get("diff") for name, difference in moved.items())
    params = json.loads(sharing.run("dvc", "params", "diff", "HEAD~1", "--json"))["config.yaml"]
    assert params["experiments.small.methods.am.steps"]["new"] == 9
    assert params["networks.small.training.epochs"]["new"] == 2
    sharing.run("dvc", "plots", "diff", "HEAD~1", "--targets", "results/small.depth.csv", "--out", "plots")
    page = (sharing.folder / "plots/index.html").read_text()
    assert "spearman" in page and "hidden1" in page and "HEAD~1" in page


@pytest.mark.verify
@pytest.mark.parametrize("where", ["workspace", "temp", "clone"])
def test_dvc_experiment_equals_a_run_with_the_same_setting(sharing, oracle, tmp_path, where):
    if where == "clone":
        sharing = sharing.clone(tmp_path / "colleague")
        sharing.run("dvc", "pull")
    change = ("-S", "config.yaml:experiments.small.methods.am.steps=7")
    identity = {f"GIT_{role}_{field}": "test" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    before = sharing.hashes()
    words = ("--temp",) if where == "temp" else ()
    sharing.run("dvc", "exp", "run", "--name", "longer", *words, *change, **identity)
    if where == "temp":
        assert sharing.hashes() == before
        sharing.run("dvc", "exp", "apply", "longer", **identity)
    after = sharing.hashes()
    am, iam = (f"results/small/images/hidden1.{method}.h5" for method in ("am", "iam"))
    assert after[am] != before[am] and after[iam] == before[iam]
    assert after["data/checkpoints/small.pt"] == before["data/checkpoints/small.pt"]
    with open_hdf5(sharing.folder / am) as file:
        assert file.attrs["steps"] == 7
    # Byte for byte what the plain flow makes of that setting.
    assert oracle(sharing) == after


# --- damage ----------------------------------------------------------------------------------------------------------

ARTIFACTS = [
    "data/checkpoints/small.pt",
    "data/checkpoints/small.json",
    "results/small/units.csv",
    "data/datasets/digits.h5",
]


@pytest.mark.parametrize("name", ARTIFACTS)
@pytest.mark.parametrize("place", ["remote", "cache"])
def test_damaged_file_in_a_store_is_reported(sharing, tmp_path, name, place):
    if place == "remote":
        flip(stored(tmp_path / "unitscope-store", sharing, name), 40)
        colleague = sharing.clone(tmp_path / "colleague")
    else:
        colleague = sharing.clone(tmp_path / "colleague")
        shutil.copytree(sharing.folder / ".dvc/cache", colleague.folder / ".dvc/cache")
        flip(stored(colleague.folder / ".dvc/cache", sharing, name), 40)
    done = restore(colleague)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert name in done.stdout, done.stdout
    assert not (colleague.folder / ".snakemake/metadata").exists()


@pytest.mark.verify
def test_damaged_checkpoint_from_the_cache_is_not_used(sharing, tmp_path):
    name = "data/checkpoints/small.pt"
    colleague = sharing.clone(tmp_path / "colleague")
    shutil.copytree(sharing.folder / ".dvc/cache", colleague.folder / ".dvc/cache")
    flip(stored(colleague.folder / ".dvc/cache", sharing, name), 40)
    colleague.run("dvc", "checkout")
    assert colleague.hashes()[name] != sharing.hashes()[name]
    colleague.change("experiments.small.methods.am.steps", 6)
    # DVC checks it out again; the flow sees that it is another, and trains.
    assert "checkpoints/small" in colleague.executed("dvc repro")
    assert colleague.hashes()[name] == sharing.hashes()[name]
    assert (
        colleague.hashes()["results/small/images/hidden1.iam.h5"]
        == (sharing.hashes()["results/small/images/hidden1.iam.h5"])
    )


# --- S3 --------------------------------------------------------------------------------------------------------------

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the address of moto's S3 server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        server.kill()


@pytest.mark.verify
def test_artifacts_can_be_stored_in_an_s3_bucket(finished, tmp_path, endpoint, monkeypatch):
    """As on machines that share no file system; the jobs run here, what they read and write goes through S3."""
    boto3 = pytest.importorskip("boto3")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("artifacts")
    bucket.create()
    study = copy.deepcopy(SMALL)
    study["experiments"]["small"]["images"] = {"block": 5}
    project = Project.create(tmp_path / "project", study)
    storage = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://artifacts/runs"]
    project.snakemake(*storage, "--storage-s3-endpoint-url", endpoint, "--shared-fs-usage", "none")
    stored = {item.key.removeprefix("runs/"): item.get()["Body"].read() for item in bucket.objects.all()}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in stored.items()}
    assert {name: checksums.get(name) for name in finished.hashes()} == finished.hashes()
    assert not list(project.folder.glob("results/**/*.csv"))


@pytest.mark.verify
def test_artifacts_are_shared_through_s3(sharing, tmp_path, endpoint, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("unitscope")
    bucket.create()
    sharing.run("dvc", "remote", "modify", "store", "url", "s3://unitscope/study")
    sharing.run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
    sharing.run("git", *IDENTITY, "commit", "--quiet", "--all", "-m", "the store is in S3")
    sharing.run("dvc", "push")
    colleague = sharing.clone(tmp_path / "colleague")
    assert restore(colleague).returncode == 0
    assert colleague.hashes() == sharing.hashes()
    assert "Nothing to be done" in colleague.run("snakemake", "-n")

    name = "data/checkpoints/small.pt"
    damaged = bucket.Object(str(stored(Path("study"), sharing, name)))
    content = bytearray(damaged.get()["Body"].read())
    content[40] ^= 1
    damaged.put(Body=bytes(content))
    done = restore(sharing.clone(tmp_path / "unlucky"))
    assert done.returncode == 1 and name in done.stdout and "Traceback" not in done.stdout
