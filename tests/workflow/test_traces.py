"""Every job of the flow traces its network once."""

import json
import shlex
import subprocess
import sys

import pytest

# Each program in a copy of a process that has loaded PyTorch: that takes seconds every time.
PROGRAM = """
import json, os, runpy, sys
import torch, h5py, scipy.stats

def counted(*arguments, **named):
    global traces
    traces += 1
    return plain(*arguments, **named)

plain, traces = torch.fx.Tracer.trace, 0
torch.fx.Tracer.trace = counted
for words in json.load(sys.stdin):
    if (child := os.fork()) == 0:
        sys.argv = words
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            print(os.path.basename(words[0]), end.code, traces, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, words
"""
WITH_A_NETWORK = {
    *("checkpoint", "taps", "activations", "moments", "images", "ablation", "predictors", "scale", "joint"),
    *("cumulative", "planted"),
}


@pytest.mark.slow
def test_a_job_traces_its_network_once(project):
    project.change("experiments.small.analyses", ["importance", "scale", "joint", "cumulative", "planted"])
    printed = project.run("snakemake", "--dry-run", "--forceall", "--printshellcmds", "--quiet", "progress")
    commands = {}
    for line in printed.splitlines():
        words = shlex.split(line, posix=True) if ".py " in line else []
        programs = [place for place, word in enumerate(words) if word.endswith(".py")]
        if programs and (name := words[programs[0]].rpartition("/")[2].removesuffix(".py")) in WITH_A_NETWORK:
            commands.setdefault(name, words[programs[0] :])
    assert set(commands) == WITH_A_NETWORK
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=project.folder,
        env={**project.environment(), "PYTHONPATH": str(project.folder)},
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"{name}.py 0 1" for name in WITH_A_NETWORK), done.stderr
