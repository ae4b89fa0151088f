"""What Snakemake executes, refuses and says by the ledger: a flow of three jobs, run by Snakemake in this process."""

import hashlib
import json
import os
import re
import signal
import sys
import types
from pathlib import Path

import pytest
import snakemake.api  # Before its workflow, which imports it in turn.
import snakemake.workflow
from snakemake.cli import main
from snakemake.io import _IOFile

from unitscope.storage.contents import Contents, read_lines
from unitscope.workflow.ledger import Ledger, locked_rows, rows_of, runs_in, versions, write_lock
from unitscope.workflow.owners import Owners
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.freshness import Freshness, has_key
from unitscope.workflow.snakemake_internals.installation import config_arguments, is_to_be_recorded
from unitscope.workflow.snakemake_internals.job_notes import PLANNED, JobNotes
from unitscope.workflow.snakemake_internals.ledger_persistence import LedgerPersistence
from unitscope.workflow.snakemake_internals.rule_files import benchmarked_rules, files_of
from unitscope.workflow.store import dvc_cache

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SNAKEFILE = """
from flow_of_test import hooks, seen
from unitscope.workflow.snakemake_internals.installation import install

install(hooks)

configfile: "config.yaml"

rule all:
    input: "upper"

rule double:
    input: "raw"
    output: "doubled"
    params: times=config["times"], code=config["code"], source=""
    log: "double.log"
    benchmark: "double.tsv"
    shell: "for i in $(seq {params.times}); do cat {input}; done > {output} 2> {log}"

rule upper:
    input: "doubled"
    output: "upper"
    params: code=""
    shell: "tr a-z A-Z < {input} > {output}"

onstart:
    workflow.scheduler.job_rate_limiter = None

onsuccess:
    seen(workflow)
"""


class Flow:
    """A folder with a flow: `doubled` repeats `raw`, and `upper` is that in capitals.

    Attributes:
        hooks: What the flow says of jobs.
        workflow: Snakemake's workflow of the last call that ended in success.
        code: Exit code of the last call.
        output: What it printed.
    """

    def __init__(self, capfd):
        self.hooks, self.workflow, self.code, self.output, self._capfd = Hooks(), None, None, "", capfd
        Path("Snakefile").write_text(SNAKEFILE)
        self.write("raw", "ab")
        self.configure()

    def write(self, path, text):
        Path(path).write_text(text)

    def configure(self, name="config.yaml", times=2, code="c1"):
        self.write(name, f"times: {times}\ncode: {code}\n")

    def edit(self, old, new):
        text = Path("Snakefile").read_text()
        assert old in text
        self.write("Snakefile", text.replace(old, new))

    def seen(self, workflow):
        self.workflow = workflow

    def run(self, *words):
        """Call Snakemake; return the rules of the jobs that it executed, or would execute."""
        sys.modules["flow_of_test"] = types.SimpleNamespace(hooks=self.hooks, seen=self.seen)
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--cores", "1", "--scheduler", "greedy", *words])
        self.code, self.output = ended.value.code, "".join(self._capfd.readouterr())
        rules = re.findall(r"^(?:local)?rule (\w+):", self.output, re.MULTILINE)
        return [rule for rule in rules if rule != "all"]

    def sentences(self):
        """Return all that was said, in one line."""
        return " ".join(self.output.split())

    def store(self, path):
        """Put a file into DVC's cache."""
        sha256, md5 = Contents(None).sha256_and_md5(path)
        dvc_cache.keep(Path(path), dvc_cache.cache_path(dvc_cache.cache_folder(), md5))
        return sha256


@pytest.fixture
def flow(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UNITSCOPE_GATE", raising=False)
    monkeypatch.setitem(sys.modules, "flow_of_test", None)
    # Put back what the flow puts in the place of Snakemake's own.
    monkeypatch.setattr(snakemake.workflow, "FilePersistence", snakemake.workflow.FilePersistence)
    monkeypatch.setattr(_IOFile, "is_newer", _IOFile.is_newer)
    monkeypatch.setattr(LedgerPersistence, "hooks", Hooks())
    monkeypatch.setattr(sys, "path", sys.path[:])
    dvc_cache.cache_folder.cache_clear()
    stop = signal.getsignal(signal.SIGTERM)
    yield Flow(capfd)
    signal.signal(signal.SIGTERM, stop)
    dvc_cache.cache_folder.cache_clear()


@pytest.fixture
def finished(flow):
    """Return a flow that has been run."""
    assert flow.run() == ["double", "upper"] and flow.code == 0
    assert Path("upper").read_text() == "ABAB"
    return flow


# --- what is fresh ---------------------------------------------------------------------------------------------------


def test_a_finished_flow_has_nothing_to_do(finished):
    assert finished.run() == [] and "Nothing to be done" in finished.output
    ledger = Ledger()
    assert set(ledger.paths()) == {"doubled", "upper"}
    (run,) = ledger.runs_of("doubled")
    assert run.outputs == {"doubled": Contents(None).sha256_and_md5("doubled")}
    assert (run.versions, run.code) == (versions(), "c1")


def test_times_make_no_job_due(finished):
    for path in ("raw", "doubled", "Snakefile", "config.yaml"):
        os.utime(path)
    assert finished.run("-n") == []
    # Snakemake's own look at times stays for those who request it.
    finished.write("doubled", "mine")
    assert finished.run("-n") == ["double", "upper"]
    assert finished.run("-n", "--rerun-triggers", "mtime") == ["upper"]


def test_another_input_param_or_command_makes_a_job_due(finished):
    finished.write("raw", "xy")
    assert finished.run("-n") == ["double", "upper"]
    assert "doubled was written with other settings, code or inputs" in finished.sentences()
    finished.write("raw", "ab")
    assert finished.run("-n") == []
    finished.configure(times=3)
    assert finished.run("-n") == ["double", "upper"]
    finished.configure()
    finished.edit("tr a-z A-Z", "tr a-y A-Y")
    assert finished.run("-n") == ["upper"]


def test_outputs_of_earlier_settings_are_up_to_date(finished):
    finished.configure(times=1)
    assert finished.run() == ["double", "upper"] and Path("upper").read_text() == "AB"
    finished.write("doubled", "abab")
    finished.write("upper", "ABAB")
    finished.configure(times=2)
    assert finished.run("-n") == []


@pytest.mark.parametrize(
    ("path", "due", "why"),
    [
        (
            "doubled",
            ["double", "upper"],
            "doubled holds bytes that no job has written here: it was edited, damaged, or",
        ),
        ("upper", ["upper"], "upper holds bytes that no job has written here"),
    ],
)
def test_an_output_that_was_edited_is_written_again(finished, path, due, why):
    finished.write(path, "mine")
    assert finished.run() == due
    assert why in finished.sentences() and Path("upper").read_text() == "ABAB"


def test_an_output_that_is_gone_is_due_and_a_store_is_pointed_to(finished):
    Path("upper").unlink()
    assert finished.run("-n") == ["upper"]
    assert "upper is not there (if a colleague has stored it: dvc pull upper)" in finished.sentences()


def test_a_temporary_output_may_be_gone(flow):
    flow.edit('output: "doubled"', 'output: temp("doubled")')
    assert flow.run() == ["double", "upper"] and not Path("doubled").exists()
    assert flow.run("-n") == []
    Path("upper").unlink()
    assert flow.run("-n") == ["double", "upper"]


def test_an_ancient_input_does_not_count(flow):
    flow.edit('input: "raw"', 'input: ancient("raw")')
    assert flow.run() == ["double", "upper"]
    flow.write("raw", "xy")
    assert flow.run("-n") == []


def test_jobs_that_the_ledger_cannot_compare_are_left_to_snakemake(flow):
    flow.edit('output: "upper"', 'output: touch("upper")')
    assert flow.run() == ["double", "upper"]
    assert flow.run("-n") == [] and set(Ledger().paths()) == {"doubled"}
    flow.edit("tr a-z A-Z", "tr a-y A-Y")
    assert flow.run("-n") == ["upper"] and "Code has changed since last execution" in flow.sentences()


def test_files_from_elsewhere_have_metadata_by_the_ledger(finished):
    for path in Path(".snakemake/metadata").rglob("*"):
        if path.is_file():
            path.unlink()
    assert finished.run("-n") == []
    finished.run("--list-input-changes")
    assert finished.code == 0
    assert (
        finished.run("--summary") == [] and "no update" in finished.output and "update pending" not in finished.output
    )


def test_a_touch_writes_no_run_down(finished):
    finished.write("doubled", "mine")
    before = len(list(read_lines(Path(".snakemake/unitscope/ledger"))))
    finished.run("--touch")
    assert finished.code == 0 and len(list(read_lines(Path(".snakemake/unitscope/ledger")))) == before
    assert "double" in finished.run("-n")


# --- what is brought back --------------------------------------------------------------------------------------------


def test_outputs_are_brought_back_from_the_cache(finished):
    finished.store("doubled")
    finished.store("upper")
    Path("upper").unlink()
    finished.write("doubled", "mine")
    assert finished.run("-n") == []
    assert "upper was not there: would be brought back from DVC's cache." in finished.output
    assert not Path("upper").exists()
    assert finished.run() == []
    assert "doubled held other bytes: brought back from DVC's cache." in finished.output
    assert (Path("doubled").read_text(), Path("upper").read_text()) == ("abab", "ABAB")
    assert finished.run() == [] and "brought back" not in finished.output


def test_what_a_job_wrote_is_kept_when_it_is_replaced(finished):
    finished.store("doubled")
    finished.store("upper")
    finished.configure(times=1)
    assert finished.run() == ["double", "upper"]
    # Written by a job, and not in the cache: bringing back the other would lose it.
    md5 = hashlib.md5(b"ab", usedforsecurity=False).hexdigest()
    kept = dvc_cache.cache_path(dvc_cache.cache_folder(), md5)
    assert not kept.exists()
    finished.configure(times=2)
    assert finished.run() == [] and Path("upper").read_text() == "ABAB" and kept.read_text() == "ab"
    finished.configure(times=1)
    assert finished.run() == [] and Path("upper").read_text() == "AB"


def test_a_damaged_copy_is_not_brought_back(finished):
    _, md5 = Contents(None).sha256_and_md5("upper")
    place = dvc_cache.cache_path(dvc_cache.cache_folder(), md5)
    place.parent.mkdir(parents=True)
    place.write_text("damaged")
    Path("upper").unlink()
    assert finished.run("-n") == ["upper"]


def test_a_copy_that_cannot_be_put_back_is_named_and_the_others_are(finished):
    finished.store("doubled")
    finished.store("upper")
    Path("upper").unlink()
    Path("doubled").unlink()
    Path("doubled").mkdir()
    Path("doubled/mine").touch()
    assert finished.run() == [] and finished.code == 1
    text = finished.sentences()
    assert "doubled cannot be brought back from DVC's cache (Is a directory). Fix that, and give the same" in text
    assert "upper was not there: brought back from DVC's cache." in text and Path("upper").read_text() == "ABAB"
    assert Path("doubled/mine").exists()


# --- who owns what ---------------------------------------------------------------------------------------------------


def settings_of(job):
    return {name: value for name, value in job.params._allitems() if name == "times"}


def test_another_config_does_not_overwrite_what_one_owns(flow):
    flow.hooks = Hooks(settings=settings_of)
    flow.configure("other.yaml", times=3)
    assert flow.run("--configfile", "config.yaml") == ["double", "upper"]
    assert Owners().of("doubled").config == "config.yaml" and Owners().of("doubled").settings == '{"times":2}'
    assert flow.run("-n", "--configfile", "other.yaml") == []
    assert flow.code == 1
    assert "doubled belongs to config.yaml, and other.yaml would overwrite it with other settings: " in flow.output
    assert "times is 2 in config.yaml and 3 in other.yaml" in flow.output and Path("upper").read_text() == "ABAB"
    flow.hooks = Hooks(settings=settings_of, takeover=True)
    assert flow.run("--configfile", "other.yaml") == ["double", "upper"]
    assert Owners().of("doubled").config == "other.yaml"


def test_configs_with_equal_settings_share_what_they_write(flow):
    flow.hooks = Hooks(settings=settings_of)
    flow.configure("other.yaml")
    flow.run("--configfile", "config.yaml")
    flow.write("upper", "mine")
    assert flow.run("--configfile", "other.yaml") == ["upper"] and flow.code == 0
    assert Owners().of("upper").config == "config.yaml"
    # An artifact of a config that is gone belongs to the next one that finds it fresh.
    Path("config.yaml").rename("renamed.yaml")
    flow.edit('configfile: "config.yaml"', "")
    assert flow.run("--configfile", "other.yaml") == []
    assert Owners().of("upper").config == Owners().of("doubled").config == "other.yaml"


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_job_that_cannot_run_here_is_refused_before_anything_is_deleted(finished):
    finished.configure(times=3)
    finished.hooks = Hooks(refuse=lambda job: "the disk is missing." if job.rule.name == "double" else "")
    assert finished.run() == [] and finished.code == 1
    # Without places in rules.
    assert finished.output.endswith("Error:\nthe disk is missing.\n") and Path("doubled").read_text() == "abab"
    # A dry run only looks.
    assert finished.run("-n") == ["double", "upper"] and finished.code == 0


def test_a_plan_that_takes_an_output_for_a_source_is_refused(finished):
    Path("raw").unlink()
    assert finished.run() == [] and finished.code == 1
    assert "doubled is there, but a file that rule double would write it from is missing" in finished.sentences()


def test_raw_data_that_change_during_a_job_are_not_taken_into_the_ledger(flow):
    flow.hooks = Hooks(source=lambda job: "another digest" if job.rule.name == "double" else "")
    flow.run()
    assert "What doubled was written from has changed meanwhile. It will be written again by" in flow.sentences()
    assert set(Ledger().paths()) == {"upper"}


def test_an_input_that_changes_during_a_job_is_noticed(flow):
    flow.edit("do cat {input}; done > {output}", "do cat {input}; done > {output}; echo more >> raw; true")
    flow.run()
    assert "What doubled was written from has changed meanwhile." in flow.sentences()
    assert "doubled" not in Ledger().paths()


def test_unreadable_lock_file_is_an_error_without_a_traceback(finished):
    Path("made.lock").mkdir()
    assert finished.run() == [] and finished.code == 1
    assert "made.lock cannot be read (Is a directory)." in finished.output and "Traceback" not in finished.output


def test_a_ledger_that_cannot_be_written_costs_nothing_but_another_execution(flow):
    Path(".snakemake/unitscope/ledger").mkdir(parents=True)
    assert flow.run() == ["double", "upper"] and flow.code == 0 and Path("upper").read_text() == "ABAB"
    assert ".snakemake/unitscope/ledger cannot be written" in flow.output
    assert "the next call will write upper again." in flow.output and flow.run("-n") == ["double", "upper"]


# --- what is said ----------------------------------------------------------------------------------------------------


def test_what_other_code_wrote_is_counted_before_it_is_computed_again(finished):
    finished.configure(code="c2")
    assert finished.run("-n") == ["double", "upper"]
    text = finished.sentences()
    assert "Other code than today's wrote the results of double (1). With what is made from them, 2 jobs are" in text
    assert "the last time these took 0 s, one after another." in text or re.search(r"these took \d s, one after", text)
    # Other settings are no other code.
    finished.configure(times=3)
    finished.run("-n")
    assert "Other code" not in finished.output


def test_failures_are_listed_with_their_log_and_what_to_lower(flow):
    flow.edit("for i in", "echo 'Error: There was not enough memory.' > {log}; exit 1; for i in")
    flow.hooks = Hooks(lower=lambda job: f"Lower the batch of {job.rule.name}.")
    flow.run("--keep-going")
    assert flow.code == 1
    text = flow.sentences()
    assert "1 job failed, 1 that depend on that were not started. Everything else is done and kept." in text
    assert "- double: There was not enough memory. Lower the batch of double. The log is double.log." in text


def test_a_check_that_fails_stops_everything(flow):
    flow.edit('input: "upper"', 'input: "upper", "other"')
    flow.edit("rule upper:", 'rule other:\n    output: "other"\n    shell: "touch {output}"\n\nrule upper:')
    flow.edit("for i in", "exit 1; for i in")
    flow.edit('input: "raw"\n', 'input: "raw"\n    priority: 50\n')
    flow.hooks = Hooks(checks=["double"])
    assert "other" not in flow.run("--keep-going") and not Path("other").exists()
    assert "What was finished is kept." in flow.sentences()
    flow.hooks = Hooks()
    assert "other" in flow.run("--keep-going") and Path("other").exists()


def test_success_is_reported_also_if_nothing_is_due(finished):
    finished.workflow = None
    finished.run()
    assert finished.workflow is not None
    finished.workflow = None
    finished.run("-n")
    assert finished.workflow is None


# --- the gate --------------------------------------------------------------------------------------------------------


def gate(flow, monkeypatch):
    """Return the paths that a look at everything vouches for, and why others are stale."""
    Path("gate").unlink(missing_ok=True)
    monkeypatch.setenv("UNITSCOPE_GATE", "gate")
    flow.run("-n")
    monkeypatch.delenv("UNITSCOPE_GATE")
    stale = [row[1] for row in read_lines(Path("gate")) if row[0] == "stale"]
    return sorted(path for run in runs_in(Path("gate")) for path in run.outputs), stale


def test_gate_lists_fresh_files_and_why_others_are_stale(finished, monkeypatch):
    assert gate(finished, monkeypatch) == (["doubled", "upper"], [])
    finished.store("upper")
    Path("upper").unlink()
    vouched, stale = gate(finished, monkeypatch)
    # It looks, and brings nothing back.
    assert vouched == ["doubled"] and len(stale) == 1 and stale[0].startswith("upper is not there")


def test_the_gate_believes_no_checksum_of_an_earlier_look(finished, monkeypatch):
    finished.run()
    checksums = Path(".snakemake/unitscope/contents")
    assert finished.run("-n") == []
    (sha256,) = {row[2] for row in read_lines(checksums) if row[0] == "upper"}
    assert sha256 == Contents(None).sha256("upper")
    # As if the disk had lost a byte without telling anybody.
    stat = Path("upper").stat()
    lines = [row for row in read_lines(checksums) if row[0] != "upper"]
    Path("upper").write_text("LOST")
    os.utime("upper", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new = Path("upper").stat()
    signature = [new.st_size, new.st_mtime_ns, new.st_ctime_ns, new.st_ino]
    checksums.write_text("".join(f"{json.dumps(row)}\n" for row in [*lines, ["upper", signature, sha256]]))
    assert finished.run("-n") == []
    assert gate(finished, monkeypatch)[1][0].startswith("upper holds bytes that no job has written here")


# --- what the Snakefile requests -------------------------------------------------------------------------------------


def test_arguments_of_the_command_line_keep_their_text(flow):
    flow.run("--config", 'nested={"a": false}', "times=2")
    assert config_arguments(flow.workflow) == [("nested", '{"a": false}'), ("times", "2")]


def test_a_call_is_recorded_where_the_lock_file_lacks_something(finished):
    assert is_to_be_recorded(finished.workflow)
    write_lock(row for run in finished.workflow.persistence.vouched() for row in rows_of(run))
    assert set(locked_rows()) == {"doubled", "upper"}
    # DVC has recorded nothing yet.
    assert is_to_be_recorded(finished.workflow)
    outs = "".join(f"- {{path: {path}, md5: {row['md5']}}}\n" for path, row in locked_rows().items())
    Path("dvc.lock").write_text(f"stages:\n  a:\n    outs:\n{outs}".replace("\n- ", "\n    - "))
    assert not is_to_be_recorded(finished.workflow)
    finished.configure("other.yaml")
    finished.run("--configfile", "other.yaml")
    assert not is_to_be_recorded(finished.workflow)


def test_files_of_rules_are_named_by_the_values_of_their_wildcards(flow):
    flow.edit('output: "upper"', 'output: "upper"\n    log: "logs/upper.log"')
    flow.edit(
        "rule double:",
        'rule copy:\n    input: "raw"\n    output: "copies/{name,[^/]+}.{kind}"\n    log: "logs/{name}.{kind}.log"\n'
        '    benchmark: "times/{name}.{kind}.tsv"\n    shell: "cp {input} {output}"\n\nrule double:',
    )
    flow.run()

    def values(names):
        return (
            [{"name": "a", "kind": "b"}, {"name": "c.d", "kind": "e"}, {"name": "x/y", "kind": "z"}] if names else [{}]
        )

    rule_files = list(files_of(flow.workflow, values))
    assert (
        ("doubled", "double") in rule_files
        and ("double.log", "double") in rule_files
        and ("double.tsv", "double") in rule_files
    )
    assert ("logs/upper.log", "upper") in rule_files
    assert [each for each in rule_files if "copies" in each[0] or each[1].startswith("copy")] == [
        ("copies/a.b", "copy (kind 'b', name 'a')"),
        ("logs/a.b.log", "copy (kind 'b', name 'a')"),
        ("times/a.b.tsv", "copy (kind 'b', name 'a')"),
        ("copies/c.d.e", "copy (kind 'e', name 'c.d')"),
        ("logs/c.d.e.log", "copy (kind 'e', name 'c.d')"),
        ("times/c.d.e.tsv", "copy (kind 'e', name 'c.d')"),
    ]
    assert benchmarked_rules(flow.workflow) == []


# --- notes -----------------------------------------------------------------------------------------------------------


def test_two_processes_agree_on_what_a_job_is_executed_with(finished):
    workflow = finished.workflow
    (job,) = (job for job in workflow.persistence.dag.jobs if job.rule.name == "double")
    assert has_key(job)
    notes = JobNotes(workflow, Freshness(workflow.persistence.dag, Contents(None), Ledger()))
    assert not notes.is_elsewhere(job) and not notes.differ(job) and not notes.is_executed_as_planned(job)
    notes.write(job)
    (note,) = Path(".snakemake/unitscope/jobs").rglob(PLANNED)
    # The process that executes it writes its own.
    assert not notes.differ(job) and not notes.is_executed_as_planned(job)
    (note.parent / "node-1").write_text(note.read_text())
    assert notes.is_executed_as_planned(job) and not notes.differ(job)
    finished.write("raw", "changed")
    assert not notes.is_executed_as_planned(job)
    notes.write(job)
    assert notes.differ(job)
    notes.drop(job)
    assert list(note.parent.iterdir()) == []
