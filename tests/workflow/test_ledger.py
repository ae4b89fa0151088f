"""The ledger and what it stands on: checksums that are remembered, lines that a kill has cut off, Snakemake's hooks."""

import json
import os
import time

import pytest

from unitscope.errors import UserError
from unitscope.storage import contents
from unitscope.storage.contents import Contents, append_lines, read_lines
from unitscope.workflow import ledger
from unitscope.workflow.ledger import Ledger, Run, locked_rows, other_versions, rows_of, source_or_recorded, write_lock
from unitscope.workflow.store import dvc_cache, dvc_lock

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def settled(path):
    """Let the clock go on, so that no second change can carry the same times."""
    while time.time_ns() - path.stat().st_ctime_ns <= contents.STEP:
        time.sleep(0.01)


class Counting(Contents):
    """Counts how many files it reads."""

    read = 0

    def _read(self, *arguments, **named):
        self.read += 1
        return super()._read(*arguments, **named)


# --- checksums -------------------------------------------------------------------------------------------------------


def test_a_file_is_read_once(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    settled(path)
    first = Counting(tmp_path / "contents")
    digest = first.sha256("a")
    assert first.sha256("a") == digest and first.read == 1
    first.save()
    later = Counting(tmp_path / "contents")
    assert later.sha256("a") == digest and later.read == 0
    # Each process that believes nothing reads, once.
    strict = Counting(tmp_path / "contents", trust=False)
    assert strict.sha256("a") == strict.sha256("a") == digest and strict.read == 1


def test_changed_byte_with_preserved_time_stamps_is_detected(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    settled(path)
    checksums = Contents(None)
    before, stat = checksums.sha256("a"), path.stat()
    with open(path, "r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    assert checksums.sha256("a") != before


def test_checksum_of_a_file_written_in_the_same_tick_is_not_cached(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    checksums = Counting(None)
    # As where clock and change fall into one tick.
    monkeypatch.setattr(contents.time, "time_ns", lambda: path.stat().st_ctime_ns)
    checksums.sha256("a")
    checksums.sha256("a")
    assert checksums.read == 2


def test_missing_files_folders_and_broken_links_have_no_checksum(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    checksums = Contents(None)
    assert {checksums.sha256(name) for name in ("nothing", "folder", "link", "folder/x/y")} == {""}
    assert checksums.sha256_and_md5("nothing") == ("", "")


def test_file_names_of_any_bytes_are_stored(tmp_path):
    name = os.fsdecode(b"\xff\xfe \n\t\xe2\x82\xac")
    (tmp_path / name).write_bytes(b"one")
    settled(tmp_path / name)
    checksums = Contents(tmp_path / "contents")
    checksums.sha256(name)
    checksums.save()
    assert Counting(tmp_path / "contents")._checksums[name][1] == checksums.sha256(name)


def test_checksum_file_is_compacted(tmp_path):
    file = tmp_path / "contents"
    append_lines(file, (["a", [number, 1, 1, 1], ONE] for number in range(5000)))
    assert Contents(file)._checksums == {"a": ((4999, 1, 1, 1), ONE)}
    assert len(list(read_lines(file))) == 1


def test_truncated_lines_are_skipped(tmp_path):
    file = tmp_path / "lines"
    append_lines(file, [["one", 1], ["two", 2]])
    for length in range(len(file.read_bytes()) + 1):
        cut = tmp_path / f"cut{length}"
        cut.write_bytes(file.read_bytes()[:length])
        whole = list(read_lines(cut))
        append_lines(cut, [["three", 3]])
        assert list(read_lines(cut)) == [*whole, ["three", 3]]


def test_malformed_lines_are_skipped(tmp_path):
    file = tmp_path / "ledger"
    lines = ['["a",[1,2],"x"]', '["a",["x",1,1,1],3]', '{"a": 1}', '["k"]', '[1, {}, "", ""]', '["k", [], "", ""]']
    file.write_text("\n".join([*lines, '["k", {"p": ["s"]}, "", ""]', "null", "\x00", ""]))
    Contents(file)
    assert Ledger(file, tmp_path / "none").runs("k") == []


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_ledger_returns_all_runs_of_a_key(tmp_path):
    runs = [Run("key", {"a": (content, "md5")}, "", "torch 1") for content in (ONE, TWO)]
    first = Ledger(tmp_path / "ledger", tmp_path / "lock")
    for run in [*runs, *runs]:
        first.note(run)
    later = Ledger(tmp_path / "ledger", tmp_path / "lock")
    assert later.runs("key") == later.runs_of("a") == runs[::-1]
    assert later.runs("other") == later.runs_of("b") == []
    assert len((tmp_path / "ledger").read_text().splitlines()) == 2


def test_lock_contains_the_runs_of_the_ledger_sorted_by_path(tmp_path):
    runs = [
        Run("k2", {"c": (ONE, "m"), "a": (TWO, "n")}, "", "torch 1"),
        Run("k1", {"b": (ONE, "m")}, "raw", "torch 1"),
    ]
    write_lock([row for run in runs for row in rows_of(run)])
    text = (tmp_path / "made.lock").read_text()
    assert [json.loads(line)["path"] for line in text.splitlines()] == ["a", "b", "c"]
    from_lock = Ledger()
    assert from_lock.runs("k1") == [runs[1]] and dict(from_lock.runs("k2")[0].outputs) == dict(runs[0].outputs)
    assert ledger.recorded(runs)
    assert not ledger.recorded([Run("k1", {"b": (TWO, "m")}, "raw", "torch 1")])
    # One stage of DVC knows its own files alone.
    write_lock(rows_of(Run("k3", {"b": (TWO, "m")})), keep=True)
    assert [row["key"] for row in locked_rows().values()] == ["k2", "k3", "k2"]
    write_lock(rows_of(runs[1]))
    assert list(locked_rows()) == ["b"]


def test_conflict_markers_in_the_lock_are_skipped(tmp_path):
    write_lock(rows_of(Run("key", {"a": (ONE, "m")})))
    lock = tmp_path / "made.lock"
    lock.write_text(f'<<<<<<< HEAD\n{lock.read_text()}=======\n{{"path": 1}}\n[]\n>>>>>>> other\n')
    assert [run.key for run in Ledger().runs_of("a")] == ["key"]


def test_deeply_nested_lines_are_skipped(tmp_path):
    (tmp_path / "made.lock").write_text("[" * 100_000 + "\n")
    (tmp_path / "lines").write_text("[" * 100_000 + "\n[1]\n")
    assert locked_rows() == {} and list(read_lines(tmp_path / "lines")) == [[1]]


@pytest.mark.parametrize("path", ["results/../notes.txt", "../notes.txt", "/notes.txt", "a\0b", "a\ud800", 5, None])
def test_paths_outside_the_project_are_ignored(tmp_path, path):
    """A ledger and a lock may come from elsewhere: what they name is touched and removed."""
    row = {"path": path, "key": "k", "sha256": ONE, "md5": "m", "versions": "v"}
    (tmp_path / "made.lock").write_text(json.dumps(row) + "\n" + json.dumps({**row, "path": "results/a"}) + "\n")
    append_lines(tmp_path / "ledger", [["k", {str(path): [ONE, "m"]}, "", "", ""]] if isinstance(path, str) else [])
    assert list(locked_rows()) == ["results/a"]
    assert list(Ledger(tmp_path / "ledger").paths()) == ["results/a"]


def test_unreadable_lock_is_reported(tmp_path):
    (tmp_path / "made.lock").mkdir()
    with pytest.raises(UserError, match=r"made\.lock cannot be read \(Is a directory\)"):
        Ledger()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<<<<<<< HEAD\nschema: '2.0'\n=======\n",
        "[1]",
        "schema: '2.0'",
        "stages: [a]",
        "stages: {a: null}",
        "stages: {a: {outs: [{path: b}]}}",
        "stages: {a: {outs: [b]}}",
        "\xff",
        "[" * 10_000,
    ],
)
def test_invalid_dvc_lock_is_reported(tmp_path, text):
    """As git leaves it where a merge has failed; a call with nothing to do looks into it as well."""
    (tmp_path / "dvc.lock").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"dvc\.lock is no whole lock file of DVC's.*git checkout dvc\.lock"):
        dvc_lock.locked_outs()
    assert not dvc_lock.agrees([])
    (tmp_path / "dvc.lock").write_text("stages: {a: {cmd: x}, b: {outs: [{path: c, md5: d}]}}")
    assert dvc_lock.locked_outs() == {"a": [], "b": [{"path": "c", "md5": "d"}]}


def test_missing_raw_data_have_their_recorded_digest(tmp_path):
    (tmp_path / "raw").write_bytes(b"raw")
    (tmp_path / "data.h5").write_bytes(b"data")
    source_checksums = Contents(tmp_path / "sources")
    digest, here = source_or_recorded(tmp_path / "raw", "data.h5", source_checksums)
    assert here
    sha256 = Contents(None).sha256("data.h5")
    for source, content in (("older", TWO), (digest, sha256), ("newer", ONE)):
        Ledger().note(Run(f"key of {source}", {"data.h5": (content, "m")}, source))
    (tmp_path / "raw").unlink()
    # What was read for the file that lies there, not what was read last.
    assert source_or_recorded(tmp_path / "raw", "data.h5", source_checksums) == (digest, False)
    assert source_or_recorded(tmp_path / "raw", "other.h5", source_checksums) == ("", False)


def test_other_package_versions_are_counted(monkeypatch):
    monkeypatch.setattr(ledger, "versions", lambda: "python 3.11.7, torch 2.14.1")
    recorded_versions = [
        "python 3.11.7, torch 2.14.1",
        "python 3.11.7, torch 2.13.0",
        "python 3.11.7, torch 2.13.0",
        "",
    ]
    assert other_versions({"versions": text} for text in recorded_versions) == [
        "2 files were made with torch 2.13.0 (now 2.14.1)",
    ]


def test_restored_file_equals_the_stored_one(tmp_path, monkeypatch):
    monkeypatch.setattr(dvc_cache, "cache_folder", lambda: tmp_path / "cache")
    place = tmp_path / "cache/files/md5/ab/cdef"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"whole")
    sha256 = Contents(None).sha256(str(place))
    assert dvc_cache.stored("abcdef", sha256) == place
    assert (
        dvc_cache.stored("abcdef", ONE) is None
        and dvc_cache.stored("0123", sha256) is None
        and dvc_cache.stored("", sha256) is None
    )
    dvc_cache.bring_back("results/a", place)
    assert (tmp_path / "results/a").read_bytes() == b"whole" and len(list((tmp_path / "results").iterdir())) == 1


# --- Snakemake's hooks -----------------------------------------------------------------------------------------------

SNAKEFILE = """
import sys
sys.path.insert(0, {root!r})
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.installation import install
install(Hooks(refuse=lambda job: "no disk" if job.rule.name == "refused" else "",
              source=lambda job: open("images").read() if job.rule.name == "e" else ""))

WORD = open("word").read()
NUMBER = int(open("number").read())

rule all:
    input: "c", "d"

rule a:
    input: "raw"
    output: "a", "beside"
    params: word=WORD
    shell: "echo a >> log; cat raw > a; echo {{params.word}} >> a; echo beside > beside"

rule b:
    input: "a"
    output: temp("b.{{number}}")
    shell: "echo b{{wildcards.number}} >> log; cat a > {{output}}; echo {{wildcards.number}} >> {{output}}"

rule c:
    input: expand("b.{{number}}", number=range(NUMBER))
    output: "c"
    shell: "echo c >> log; cat {{input}} > c"

rule d:
    input: a=ancient("a"), raw="raw"
    output: "d"
    shell: "echo d >> log; cat raw > d; test ! -e fail"

rule e:
    output: "e"
    params: source=open("images").read()
    shell: "echo e >> log; cat images > e; test ! -e change || echo changed > images"

rule refused:
    output: "refused"
    shell: "touch refused"

onsuccess:
    shell("echo success >> hooks")
"""


class Flow:
    """A flow of four rules, one of them with temporary outputs."""

    def __init__(self, folder):
        from projects import ROOT

        self.folder = folder
        (folder / "Snakefile").write_text(SNAKEFILE.format(root=str(ROOT)))
        for name, text in {"word": "one", "number": "2", "raw": "raw", "images": "images"}.items():
            (folder / name).write_text(text)

    def run(self, *words):
        """Run Snakemake; return the jobs that it executed, its exit code and what it said."""
        import subprocess
        import sys

        (self.folder / "log").unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.folder / "log"
        jobs = "".join(sorted(log.read_text().split())) if log.exists() else ""
        return jobs, done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished_flow(tmp_path_factory):
    flow = Flow(tmp_path_factory.mktemp("flow"))
    assert flow.run()[:2] == ("ab0b1cd", 0)
    return flow.folder


@pytest.fixture
def flow(finished_flow, tmp_path):
    import shutil

    shutil.copytree(finished_flow, tmp_path / "flow")
    flow = Flow(tmp_path / "flow")
    return flow


def test_recorded_bytes_are_current_whatever_their_time_stamp(flow):
    assert flow.run()[:2] == ("", 0)
    for name in ("raw", "a", "c"):
        os.utime(flow.folder / name)
    assert flow.run()[:2] == ("", 0)
    # Not even without Snakemake's own records.
    import shutil

    shutil.rmtree(flow.folder / ".snakemake/metadata")
    assert flow.run()[:2] == ("", 0)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        # `ancient` keeps d from being executed again after a; c follows.
        ("word", "two", "ab0b1c"),
        ("raw", "other", "ab0b1cd"),
        ("number", "3", "b0b1b2c"),
        ("a", "edited", "ab0b1c"),
        ("c", "edited", "b0b1c"),
        ("c", None, "b0b1c"),
        ("d", None, "d"),
        ("beside", "edited", "ab0b1c"),
        # Written again, it is as it was, and what reads it as ancient is fresh.
        ("a", None, "ab0b1c"),
    ],
)
def test_changed_files_rerun_their_jobs_and_dependents(flow, name, text, expected):
    if text is None:
        (flow.folder / name).unlink()
    else:
        (flow.folder / name).write_text(text)
    planned = flow.run("-n")[2]
    assert "Nothing to be done" not in planned and "has changed meanwhile" not in planned
    jobs, code, output = flow.run()
    assert (jobs, code) == (expected, 0) and "has changed meanwhile" not in output
    assert flow.run()[:2] == ("", 0)


def test_reason_of_a_rerun_is_printed(flow):
    (flow.folder / "c").write_text("edited")
    assert "c holds bytes that no job has written here" in flow.run("-n")[2]
    (flow.folder / "c").unlink()
    assert "c is not there" in flow.run("-n")[2]
    flow.run()
    (flow.folder / "word").write_text("two")
    output = flow.run("-n")[2]
    assert "a was written with other settings, code or inputs" in output and "before: 'one'" in output


def test_order_of_inputs_triggers_a_rerun(flow):
    flow_text = (flow.folder / "Snakefile").read_text()
    (flow.folder / "Snakefile").write_text(flow_text.replace("range(NUMBER)", "range(NUMBER)[::-1]"))
    assert flow.run()[:2] == ("b0b1c", 0)


def test_outputs_of_a_failed_job_are_not_recorded(flow):
    (flow.folder / "raw").write_text("other")
    (flow.folder / "fail").touch()
    for _ in range(2):
        done = flow.run("--keep-going", "--keep-incomplete")
        assert "d" in done[0] and done[1] == 1
    # Its output lies there as a whole, and is not taken.
    assert (flow.folder / "d").read_text() == "other"
    (flow.folder / "fail").unlink()
    assert flow.run()[:2] == ("d", 0)
    assert flow.run()[:2] == ("", 0)


def test_reverted_setting_with_original_files_needs_no_job(flow):
    original = {name: (flow.folder / name).read_bytes() for name in ("a", "beside", "c", "d")}
    (flow.folder / "word").write_text("two")
    flow.run()
    (flow.folder / "word").write_text("one")
    for name, content in original.items():
        (flow.folder / name).write_bytes(content)
    assert flow.run()[:2] == ("", 0)


def test_outputs_of_different_runs_are_not_combined(flow):
    """The checkpoint of one training beside the record of another: each is known, together they are not."""
    text = (flow.folder / "Snakefile").read_text()
    flaky = text.replace("echo beside > beside", "date +%N > beside; cat beside >> a")
    (flow.folder / "Snakefile").write_text(flaky)
    flow.run()
    first = (flow.folder / "beside").read_bytes()
    flow.run("--forcerun", "a")
    second = (flow.folder / "beside").read_bytes()
    assert first != second and flow.run()[0] == ""
    (flow.folder / "beside").write_bytes(first)
    assert flow.run()[0] == "ab0b1c"


def test_job_whose_inputs_change_during_it_is_not_recorded(flow):
    text = (flow.folder / "Snakefile").read_text()
    (flow.folder / "Snakefile").write_text(text.replace("test ! -e fail", "sleep 1; echo changed > raw"))
    _, code, output = flow.run("d", "--forcerun", "d")
    assert code == 0 and "has changed meanwhile" in output
    assert "d" in flow.run("-n", "d")[2] and "Nothing to be done" not in flow.run("-n", "d")[2]


def test_input_changed_and_reverted_during_a_job_is_noticed(flow):
    text = (flow.folder / "Snakefile").read_text()
    change = "cp raw kept; echo changed > raw; cat raw > d; cat kept > raw"
    (flow.folder / "Snakefile").write_text(text.replace("cat raw > d; test ! -e fail", change))
    _, code, output = flow.run("d")
    assert code == 0 and (flow.folder / "d").read_text() == "changed\n" and "has changed meanwhile" in output
    assert "d" in flow.run("d")[0]


def test_raw_data_changed_during_a_job_are_noticed(flow):
    (flow.folder / "change").touch()
    assert "has changed meanwhile" in flow.run("e")[2]
    (flow.folder / "images").write_text("images")
    (flow.folder / "change").unlink()
    assert flow.run("e")[0] == "e" and flow.run("e")[0] == ""


def test_output_of_a_missing_input_is_not_treated_as_a_source(flow):
    (flow.folder / "raw").rename(flow.folder / "elsewhere")
    (flow.folder / "a").write_text("edited")
    for words in ((), ("-n",)):
        jobs, code, output = flow.run(*words)
        assert (
            code == 1 and jobs == "" and "a is there, but a file that rule a would write it from is missing" in output
        )
    (flow.folder / "elsewhere").rename(flow.folder / "raw")
    assert flow.run()[:2] == ("ab0b1c", 0)


def test_jobs_triggered_by_time_stamps_are_recorded(flow):
    (flow.folder / "raw").write_text("other")
    assert flow.run("--rerun-triggers", "mtime")[0] == "ab0b1cd"
    assert flow.run()[:2] == ("", 0)


def with_cache(flow, *names):
    """Let a cache of DVC's hold files."""
    import hashlib
    import shutil

    (flow.folder / ".dvc/cache").mkdir(parents=True)
    for name in names:
        md5 = hashlib.md5((flow.folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        place = flow.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(flow.folder / name, place)


def test_nothing_is_restored_while_the_folder_is_locked(flow):
    with_cache(flow, "c")
    (flow.folder / "c").unlink()
    (flow.folder / ".snakemake/locks").mkdir(exist_ok=True)
    (flow.folder / ".snakemake/locks/0.output.lock").write_text("d\n")
    (flow.folder / "d").unlink()
    _, code, output = flow.run()
    assert code == 1 and "brought back" not in output and not (flow.folder / "c").exists()
    (flow.folder / ".snakemake/locks/0.output.lock").unlink()
    assert flow.run()[:2] == ("d", 0) and (flow.folder / "c").exists()


def test_failed_restores_do_not_block_others_and_messages_follow_the_restore(flow):
    with_cache(flow, "a", "beside", "c", "d")
    content = (flow.folder / "d").read_bytes()
    for name in ("beside", "d"):
        (flow.folder / name).write_text("edited")
    for name in ("a", "c"):
        (flow.folder / name).unlink()
        (flow.folder / name).mkdir()
    planned = flow.run("-n")[2]
    assert "d held other bytes: would be brought back" in planned and ": brought back" not in planned
    jobs, code, output = flow.run()
    output = " ".join(output.split())
    assert (jobs, code) == ("", 1) and "Traceback" not in output
    for name in ("a", "c"):
        assert f"{name} cannot be brought back from DVC's cache (Is a directory)" in output
        assert f"{name} was not there: brought back" not in output
        (flow.folder / name).rmdir()
    for name in ("beside", "d"):
        assert f"{name} held other bytes: brought back from DVC's cache." in output
    assert (flow.folder / "d").read_bytes() == content
    jobs, code, output = flow.run()
    assert (jobs, code) == ("", 0) and "a was not there: brought back" in output and "d held" not in output


def test_unrecorded_results_are_reported_before_recomputation(flow):
    import shutil

    shutil.rmtree(flow.folder / ".snakemake/unitscope")
    for words in (("-n",), ()):
        output = " ".join(flow.run(*words)[2].split())
        assert "Other code than today's wrote the results of a (1), c (1), d (1)." in output
    assert "Other code" not in flow.run()[2]


def test_replaced_outputs_of_jobs_are_cached(flow):
    with_cache(flow, "a", "beside", "c")
    (flow.folder / "word").write_text("two")
    assert flow.run()[0] == "ab0b1c"
    two = (flow.folder / "c").read_bytes()
    for word in ("one", "two"):
        (flow.folder / "word").write_text(word)
        assert flow.run()[:2] == ("", 0)
    assert (flow.folder / "c").read_bytes() == two


def test_damaged_cached_copy_is_not_restored(flow):
    with_cache(flow, "c")
    (copy,) = (path for path in (flow.folder / ".dvc/cache").rglob("*") if path.is_file())
    copy.write_bytes(b"damaged")
    (flow.folder / "c").unlink()
    assert flow.run()[0] == "b0b1c"


def test_gate_compares_bytes_regardless_of_the_profile(flow, monkeypatch):
    import sys
    from pathlib import Path

    monkeypatch.chdir(flow.folder)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    (flow.folder / "profiles/default").mkdir(parents=True)
    (flow.folder / "profiles/default/config.yaml").write_text("rerun-triggers: [mtime]\n")
    decision = ledger.gate()
    assert not decision.reasons and sorted(row["path"] for row in decision.rows) == ["a", "beside", "c", "d"]
    (flow.folder / "c").write_text("edited")
    (reason,) = ledger.gate().reasons
    assert reason.startswith("c holds bytes that no job has written here")
    assert ledger.gate("nothing").reasons[0].startswith("Snakemake cannot plan")


def test_refused_job_deletes_nothing(flow):
    (flow.folder / "refused").write_text("mine")
    jobs, code, output = flow.run("refused", "c", "--forcerun", "refused", "c")
    assert code == 1 and jobs == "" and "no disk" in output and "Traceback" not in output
    assert (flow.folder / "refused").read_text() == "mine"


def test_onsuccess_runs_without_jobs(flow):
    count = len((flow.folder / "hooks").read_text().split())
    flow.run()
    assert len((flow.folder / "hooks").read_text().split()) == count + 1
    flow.run("-n")
    flow.run("--no-hooks")
    assert len((flow.folder / "hooks").read_text().split()) == count + 1


def test_interruption_after_a_temporary_file(flow):
    (flow.folder / "word").write_text("two")
    assert flow.run("b.0", "b.1")[0] == "ab0b1"
    assert (flow.folder / "b.0").exists()
    # Both are known under today's key, and are taken.
    assert flow.run()[0] == "c"
    (flow.folder / "word").write_text("three")
    flow.run("b.0", "b.1")
    (flow.folder / "word").write_text("four")
    assert flow.run()[0] == "ab0b1c"
    flow.run("b.0", "b.1", "--forcerun", "b")
    (flow.folder / "b.0").write_text("edited")
    (flow.folder / "c").unlink()
    assert flow.run()[0] == "b0c"


def test_unreadable_records_do_not_stop_a_run(flow):
    import shutil

    for name in ("ledger", "contents"):
        shutil.rmtree(flow.folder / ".snakemake/unitscope", ignore_errors=True)
        (flow.folder / ".snakemake/unitscope" / name).mkdir(parents=True)
        jobs, code, output = flow.run()
        assert (jobs, code) == ("ab0b1cd", 0) and "Traceback" not in output
        assert ("cannot be written" in output) == (name == "ledger")


def test_circular_links_and_unreadable_files(tmp_path, monkeypatch):
    (tmp_path / "circle").symlink_to("circle")
    assert Contents(None).sha256("circle") == ""

    def refused(path):
        raise PermissionError(13, "denied", path)

    monkeypatch.setattr(contents.os, "stat", refused)
    with pytest.raises(UserError, match=r"a: permission denied\. Fix"):
        Contents(None).sha256("a")


def test_dry_run_of_the_gate_lists_current_files_and_rereads_all(flow):
    vouched = flow.folder / "vouched"
    os.environ[ledger.GATE] = str(vouched)
    try:
        assert "Nothing to be done" in flow.run("-n")[2]
        paths = sorted(path for run in ledger.runs_in(vouched) for path in run.outputs)
        assert paths == ["a", "beside", "c", "d"]
        # A checksum that lies is not believed.
        seen = flow.folder / ".snakemake/unitscope/contents"
        seen.write_text(seen.read_text().replace(Contents(None).sha256(str(flow.folder / "c")), ONE))
        assert "Nothing to be done" in flow.run("-n")[2]
    finally:
        del os.environ[ledger.GATE]
