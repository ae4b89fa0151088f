"""Nothing is written through a link that lies where a file is to be written, whoever writes it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from projects import ROOT

from unitscope.errors import UserError
from unitscope.figures import drawing
from unitscope.figures.style import Style
from unitscope.interventions.cumulative_columns import AreasTable
from unitscope.networks import building, checkpoints
from unitscope.new_files import appended_file, new_file
from unitscope.runtime import devices
from unitscope.storage import contents
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.csv_tables import write_table
from unitscope.storage.hdf5 import create_hdf5
from unitscope.storage.records import write_json
from unitscope.storage.scratch import Scratch
from unitscope.workflow import ledger
from unitscope.workflow.store import dvc_cache

SECRET = b"somebody's own"


def write_hdf5(path):
    with create_hdf5(path, {"layer": "conv1"}) as file:
        file["x"] = np.zeros(3)


def write_checkpoint(path):
    torch.manual_seed(0)
    description = {"source": "built_in", "model": "mlp", "options": {"widths": [2]}, "head": None, "input": [1, 2, 2]}
    module = building.build({**description, "seed": 0}, (1, 2, 2), 2)
    checkpoints.save_checkpoint(path, module, {**description, "mean": [0.0], "std": [1.0], "classes": ["a", "b"]})


def keep_piece(path):
    scratch = Scratch(path.parent.parent, "key")
    assert scratch.folder == path.parent
    scratch.save(path.name, b"piece")


def bring_back(path):
    source = path.with_name("source")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(b"content")
    dvc_cache.bring_back(str(path), source)


def keep(path):
    source = path.with_name("source")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(b"content")
    dvc_cache.keep(source, path)


def compact(path):
    contents.append_lines(path, [[f"file{number % 3}", [1, 2, 3, 4], "0" * 64] for number in range(1010)])
    contents.Contents(path)
    assert len(list(contents.read_lines(path))) == 3


PIECE = Scratch(Path("x"), "key").folder.name
WRITERS = {
    "bytes": ("units.csv", lambda path: write_bytes(path, b"content")),
    "table": ("areas.csv", lambda path: write_table(path, AreasTable.of_rows([]), AreasTable)),
    "record": ("metrics.json", lambda path: write_json(path, {"a": 1})),
    "HDF5": ("images.h5", write_hdf5),
    "checkpoint": ("small.pt", write_checkpoint),
    "figure": ("depth.png", lambda path: drawing.save(Style(), Figure(), path.with_suffix(""))),
    "piece of unfinished work": (f"{PIECE}/epoch.pt", keep_piece),
    "made.lock": ("made.lock", lambda path: ledger.write_lock([{"path": "a", "key": "b"}], lock=path)),
    "from the cache": ("small.pt", bring_back),
    "into the cache": ("files/md5/aa/bb", keep),
    "checksums": ("contents", compact),
}
TEMPORARY = {"checksums": f".contents.{os.getpid()}"}


@pytest.mark.parametrize("place", ["temporary", "target"])
@pytest.mark.parametrize("kind", WRITERS)
def test_link_at_an_output_path_is_replaced(tmp_path, kind, place):
    name, write = WRITERS[kind]
    path = tmp_path / "results" / name
    write(path)
    expected = path.read_bytes()
    victim = tmp_path / "victim"
    victim.write_bytes(SECRET)
    (tmp_path / "loop").symlink_to("loop")
    for leads_to in (victim, tmp_path / "nothing", tmp_path / "loop", tmp_path):
        path.unlink()
        planted = path.with_name(TEMPORARY.get(kind, f".{path.name}.part")) if place == "temporary" else path
        planted.symlink_to(leads_to)
        write(path)
        assert path.read_bytes() == expected and path.is_file() and not path.is_symlink()
        assert victim.read_bytes() == SECRET and not (tmp_path / "nothing").exists()
        assert place == "target" or not planted.is_symlink()


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
    (tmp_path / ".units.csv.part").write_bytes(b"half of an earlier and longer table")
    write_bytes(tmp_path / "units.csv", b"content")
    assert (tmp_path / "units.csv").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["units.csv"]


def test_hard_link_at_a_temporary_path_is_not_written_through(tmp_path):
    (tmp_path / "victim").write_bytes(SECRET)
    (tmp_path / ".units.csv.part").hardlink_to(tmp_path / "victim")
    write_bytes(tmp_path / "units.csv", b"content")
    assert (tmp_path / "victim").read_bytes() == SECRET


def test_folder_at_a_temporary_path_is_reported(tmp_path):
    (tmp_path / ".units.csv.part").mkdir()
    with pytest.raises(UserError, match=r"\.units\.csv\.part is a folder, .* Delete it and rerun"):
        write_bytes(tmp_path / "units.csv", b"content")


def test_folders_may_be_links(tmp_path):
    (tmp_path / "other disk").mkdir()
    (tmp_path / "results").symlink_to("other disk")
    write_bytes(tmp_path / "results/units.csv", b"content")
    contents.append_lines(tmp_path / "results/ledger", [[1]])
    assert (tmp_path / "other disk/units.csv").read_bytes() == b"content"
    assert (tmp_path / "other disk/ledger").read_bytes() == b"[1]\n"


def test_nothing_is_appended_through_a_link(tmp_path):
    (tmp_path / "victim").write_bytes(SECRET)
    (tmp_path / "ledger").symlink_to("victim")
    contents.append_lines(tmp_path / "ledger", [[1]])
    contents.append_lines(tmp_path / "ledger", [[2]])
    assert (tmp_path / "victim").read_bytes() == SECRET
    assert (tmp_path / "ledger").read_bytes() == b"[1]\n[2]\n" and (tmp_path / "ledger").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("planted", ["dataset.log", ".dataset.log.lock"])
def test_a_log_is_not_written_through_a_link(tmp_path, planted):
    (tmp_path / "victim").write_bytes(SECRET)
    (tmp_path / planted).symlink_to("victim")
    arguments = [
        "--layers",
        "none.csv",
        *(word for name in ("record", "metrics", "plot") for word in (f"--{name}", name)),
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/tables/metrics.py", *arguments, "--log", tmp_path / "dataset.log"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "none.csv" in done.stderr
    assert (tmp_path / "victim").read_bytes() == SECRET
    assert "none.csv" in (tmp_path / "dataset.log").read_text()


def test_device_lease_creates_no_file_through_a_link(tmp_path):
    folder = tmp_path / "leases"
    folder.mkdir()
    (folder / "GPU-a.lock").symlink_to(tmp_path / "nothing")
    assert devices.lease(["GPU-a"], folder) == 0
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "link").symlink_to("leases")
    with pytest.raises(UserError, match="is a link or belongs to another user"):
        devices.lease(["GPU-b"], tmp_path / "link")


def test_files_are_opened_with_the_usual_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        new_file(tmp_path / "a").close()
        appended_file(tmp_path / "b").close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
