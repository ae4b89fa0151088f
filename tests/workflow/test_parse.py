"""What reading the Snakefile costs: no process, and neither PyTorch nor h5py, where nothing has to be found out."""

import json

from projects import Project, write_two_classes

WATCHED = """
import json, sys, traceback

seen = []


def watch(event, arguments):
    started = event in ("subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.fork", "os.forkpty")
    loaded = event == "import" and arguments[0] in ("torch", "h5py", "matplotlib", "dvc")
    if started or loaded:
        # Snakemake starts `uname` itself.
        ours = [f.filename for f in traceback.extract_stack() if f.filename.startswith(sys.argv[1] + "/")]
        seen.extend([[event, str(arguments[0]), ours[-1]]] if ours else [])


sys.addaudithook(watch)
from snakemake.cli import main

try:
    main(sys.argv[2:])
except SystemExit as error:
    print(json.dumps([error.code, seen]))
"""


def parsed(project: Project, *words: str) -> list[list[str]]:
    """Return the processes that a dry run starts from the project's code, and the packages that it loads from there."""
    output = project.run("python", "-c", WATCHED, str(project.folder), "-n", *words)
    code, seen = json.loads(output.splitlines()[-1])
    assert code == 0 and "Building DAG of jobs" in output
    return seen


def test_parsing_starts_no_process_and_imports_no_pytorch(project: Project):
    assert parsed(project) == []
    # Where something is due, too.
    project.change("experiments.small.figures", {"dpi": 60})
    assert parsed(project) == []


def test_layers_resolved_during_parsing_are_cached(project: Project):
    write_two_classes(project.folder / "two")
    project.change("datasets.two", {"source": "image_folder", "path": "two", "test_fraction": 0.25})
    project.change("networks.small.dataset", "two")
    # A pattern stands for layers of the network.
    project.change("experiments.small.layers", ["hidden*"])
    project.snakemake("data/datasets/two.h5")
    for remembered in ("layers", "outlines"):
        (project.folder / ".snakemake/unitscope" / remembered).unlink(missing_ok=True)
    assert {"torch", "h5py"} <= {name for event, name, _ in parsed(project) if event == "import"}
    assert parsed(project) == []
