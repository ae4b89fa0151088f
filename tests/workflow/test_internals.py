"""Each name of Snakemake's inside that is used here exists in the version that is installed."""

import ast
import json
import re
import subprocess
import sys

from projects import ROOT

PACKAGE = ROOT / "unitscope/workflow/snakemake_internals"
OBJECTS = {
    **dict.fromkeys(["workflow", "self._workflow"], "workflow"),
    **dict.fromkeys(["dag", "self._dag", "self.dag"], "dag"),
    **dict.fromkeys(["job", "member", "producer"], "job"),
    **{"f": "file", "rule": "rule", "scheduler": "scheduler", "super()": "persistence"},
}
"""What is meant by an expression in the package: an object of Snakemake's."""

SNAKEFILE = """
import json
from snakemake.persistence.file import FilePersistence

rule all:
    input: "a"

rule a:
    output: "a"
    params: word="word"
    log: "a.log"
    benchmark: "a.tsv"
    shell: "echo {params.word} > {output}"

def has(thing, names):
    for name in names:
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True

onsuccess:
    job = next(job for job in workflow.persistence.dag.jobs if job.rule.name == "a")
    objects = {
        **{"workflow": workflow, "dag": workflow.persistence.dag, "job": job, "file": job.output[0], "rule": job.rule},
        **{"scheduler": workflow.scheduler, "persistence": FilePersistence},
    }
    chains = json.load(open("chains.json"))
    missing = [chain for chain in chains if not has(objects[chain.split(".")[0]], chain.split(".")[1:])]
    json.dump(missing, open("missing.json", "w"))
"""


def used(tree: ast.AST) -> set[str]:
    """Return what a module reads or calls of Snakemake's objects, such as "job.rule.name"."""
    chains = set()
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            names, base = [node.attr], node.value
            while ast.unparse(base) not in OBJECTS and isinstance(base, ast.Attribute):
                names, base = [base.attr, *names], base.value
            if ast.unparse(base) in OBJECTS:
                chains.add(".".join([OBJECTS[ast.unparse(base)], *names]))
    return chains


def inherited(tree: ast.Module) -> set[str]:
    """Return what the persistence takes from Snakemake's own, by `self`."""
    (persistence,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "LedgerPersistence")
    selves = [
        node
        for node in ast.walk(persistence)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self" and node.attr != "dag"
    ]
    defined = {node.name for node in persistence.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {node.attr for node in selves if isinstance(node.ctx, ast.Store)} | {"hooks"}
    overridden = {"metadata", "has_metadata", "has_outdated_metadata", "params_changed", "incomplete"}
    assert overridden <= defined
    return {f"persistence.{node.attr}" for node in selves if node.attr not in defined} | {
        f"persistence.{name}" for name in {*overridden, "lock", "started", "finished"}
    }


def test_snakemake_has_every_internal_name_in_use(tmp_path):
    chains: set[str] = set()
    for path in PACKAGE.glob("*.py"):
        tree = ast.parse(path.read_text())
        chains |= used(tree)
        if path.stem == "ledger_persistence":
            chains |= inherited(tree)
    for path in (ROOT / "Snakefile", ROOT / "rules/common.smk"):
        chains |= set(
            re.findall(r"\bworkflow(?:\.[a-z_]\w*)+", re.sub(r"unitscope\.workflow\S*", "", path.read_text()))
        )
    assert {
        "workflow.iocache.exists_local",
        "dag.needrun_jobs",
        "scheduler._user_kill",
        "job.params._allitems",
    } <= chains
    assert {"persistence._read_record", "persistence.code_changed", "workflow.scheduler.job_rate_limiter"} <= chains
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    # One that does not exist, to show that it would be named.
    (tmp_path / "chains.json").write_text(json.dumps(sorted({*chains, "workflow.nothing"})))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "missing.json").read_text()) == ["workflow.nothing"]
