"""What is said of jobs that failed, by their logs, and of a call of Snakemake that failed."""

import pytest

from unitscope.workflow.failures import KILLED, Failure, error_of, failure_report, reason

LOG = """09:00:00 maximize: 3 of 12 units
Error: experiments.first.layers: unit 999 of hidden1 is asked for,
which has the units 0 to 127.

Traceback (most recent call last):
  File "x.py", line 1, in <module>
UserError: experiments.first.layers: another text
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "job.log"
    path.write_text(LOG)
    return path


def test_the_reason_is_the_paragraph_in_the_log(log):
    assert reason(log) == "experiments.first.layers: unit 999 of hidden1 is asked for, which has the units 0 to 127."


@pytest.mark.parametrize("text", ["", "09:00:00 maximize: 3 of 12 units\n", "a note\n  Error: not at the start\n"])
def test_a_log_without_a_message_is_that_of_a_killed_job(log, text):
    log.write_text(text)
    assert reason(log) == KILLED


def test_a_job_without_a_log_was_killed(tmp_path):
    assert reason(None) == reason(tmp_path / "none.log") == reason(tmp_path) == KILLED


def test_bytes_that_are_no_text_do_not_hide_the_reason(log):
    log.write_bytes(b"\xff\xfe\nError: it broke \xff.\n\n")
    assert reason(log) == "it broke \N{REPLACEMENT CHARACTER}."


def test_report_names_the_reason_and_the_log_of_a_job(log):
    text = failure_report([Failure("images layer=hidden1", log, "Lower the batch.")], 0)
    lines = text.splitlines()
    assert lines[0] == "1 job failed. Everything else is done and kept."
    assert lines[-1] == "Then give the same command again: it does what is left."
    body = " ".join(text.split())
    assert "- images layer=hidden1: experiments.first.layers: unit 999 of hidden1" in body
    assert f"The log is {log}." in body
    # The mistake was none of memory.
    assert "Lower the batch." not in text


def test_where_memory_ran_out_the_setting_to_lower_is_named(log):
    log.write_text("Error: There was not enough memory. Lower something.\n\n")
    assert "Lower the batch." in failure_report([Failure("images", log, "Lower the batch.")], 0)
    killed = failure_report([Failure("units", None, "Lower it.")], 0)
    assert f"- units: {KILLED} Lower it." in " ".join(killed.split()) and "The log" not in killed


def test_jobs_that_were_not_started_are_counted(log):
    failures = [Failure("a", None, ""), Failure("b", None, "")]
    assert failure_report(failures, 7).startswith(
        "2 jobs failed, 7 that depend on that were not started. Everything else is done and kept."
    )
    stopped = failure_report(failures[:1], 7, went_on=False)
    assert stopped.startswith("1 job failed, 7 were not started. What was finished is kept.")
    assert [line[:2] for line in failure_report(failures, 0).splitlines()[1:-1] if line[0] == "-"] == ["- ", "- "]


def test_long_reasons_are_wrapped_but_paths_are_kept_whole(log):
    log.write_text("Error: " + "word-by-word " * 30 + "\n\n")
    lines = failure_report([Failure("units", log, "")], 0).splitlines()
    assert all(len(line) <= 100 for line in lines if str(log) not in line) and len(lines) > 5
    assert not any(line.endswith("-") for line in lines) and str(log) in " ".join(lines)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", ""),
        ("Building DAG of jobs...\n", "Building DAG of jobs..."),
        ("Building DAG of jobs...\n\nNot all is well.\n", "Not all is well."),
        ("WorkflowError: no such layer\n", "no such layer"),
        ('WorkflowError in file "/p/Snakefile", line 3:\nconfig.yaml: a typo.\n', "config.yaml: a typo."),
        (
            "host: x\nMissingInputException in rule a in file /p/a.smk, line 3:\nMissing input files for rule a:\n"
            '    output: b\n  File "/p/rules/a.smk", line 3, in <module>\n    affected files:\n        c\n',
            "Missing input files for rule a: output: b affected files: c",
        ),
        # The last of several counts.
        ("KeyError: 'a'\nDuring handling\nunitscope.errors.UserError: conv9 is not there.\n", "conv9 is not there."),
    ],
)
def test_error_of_a_call_omits_rules_and_files(output, message):
    assert error_of(output) == message
