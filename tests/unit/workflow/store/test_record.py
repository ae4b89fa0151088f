"""What stands beside DVC's records: links out of the folder, its list of locks, and what is said where it fails."""

import logging
import os
import sys
from pathlib import Path

import pytest
import yaml
from configs_by_hand import STUDY
from dvc.lock import make_lock

from unitscope.runtime.console import log
from unitscope.workflow.store.links import REPORTED, links_out, unreported
from unitscope.workflow.store.record import ran, record, warn_of_links
from unitscope.workflow.store.rwlock import remove_broken_lock


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return tmp_path / "here"


@pytest.fixture
def warnings(caplog):
    """Return the list of warnings."""
    caplog.set_level(logging.WARNING, logger=log.name)
    return lambda: [line.getMessage() for line in caplog.records]


# --- links -----------------------------------------------------------------------------------------------------------


def test_links_out_of_the_project_are_listed_with_their_targets(here):
    other = here.parent / "disk"
    (other / "results").mkdir(parents=True)
    (here / "results").symlink_to(other / "results")
    (here / "inside").mkdir()
    (here / "data").symlink_to("inside")
    links = links_out(["results/first/units.csv", "results/b.csv", "data/datasets/a.h5", "logs/x.log", "a"])
    assert links == {"results": str(other / "results")}
    assert links_out([]) == links_out(["data/a", "results"]) == {}


def test_link_inside_a_folder_is_listed(here):
    (here / "results").mkdir()
    (here / "results/first").symlink_to(here.parent)
    assert links_out(["results/first/figures/a.png"]) == {"results/first": str(here.parent)}
    # Also where its target is not there.
    (here / "data").symlink_to("/nowhere/data")
    assert links_out(["data/a.h5"]) == {"data": "/nowhere/data"}


def test_each_link_is_reported_once(warnings):
    links = {"results": "/disk/results", "data": "/disk/data"}
    assert unreported(links) == links
    warn_of_links(links)
    first, second = warnings()
    assert first.startswith("data is a link to /disk/data, outside of this folder. DVC records nothing that lies there")
    assert first.endswith("dvc cache dir --local /disk/dvc-cache") and second.startswith("results is a link to ")
    assert unreported(links) == {} and REPORTED.is_file()
    # With another target it is another link.
    assert unreported({"data": "/other/data"}) == {"data": "/other/data"}


# --- the list of locks -----------------------------------------------------------------------------------------------


@pytest.fixture
def locks(here):
    (here / ".dvc/tmp").mkdir(parents=True)
    return here / ".dvc/tmp/rwlock"


@pytest.mark.parametrize("text", ["", '{"data', "no json"])
def test_a_list_that_was_cut_off_is_removed(locks, text):
    locks.write_text(text)
    assert remove_broken_lock() and not locks.exists()
    assert not remove_broken_lock()


def test_a_whole_list_is_left_as_it_is(locks, here):
    assert not remove_broken_lock() and not remove_broken_lock(here / "none")
    locks.write_text('{"data": {"read": []}}')
    assert not remove_broken_lock() and locks.read_text() == '{"data": {"read": []}}'


def test_a_list_that_dvc_is_writing_is_left_to_it(locks, here):
    locks.write_text("")
    with make_lock(str(here / ".dvc/tmp/rwlock.lock"), tmp_dir=str(here / ".dvc/tmp")):
        assert not remove_broken_lock() and locks.exists()
    assert remove_broken_lock()


# --- records ---------------------------------------------------------------------------------------------------------


def test_warning_contains_the_output_of_a_failed_command(warnings):
    assert ran(sys.executable, "-c", "print('fine')") and warnings() == []
    assert not ran(sys.executable, "-c", "import sys; print('one'); sys.exit('two')")
    (text,) = warnings()
    assert text.startswith("The results are there, but DVC has not recorded them: ")
    assert "one" in text and "two" in text


@pytest.mark.parametrize("case", ["no DVC", "no git", "a stage of DVC"])
def test_nothing_is_recorded_elsewhere(here, monkeypatch, warnings, case):
    if case != "no DVC":
        (here / ".dvc").mkdir()
    if case != "no git":
        (here / ".git").mkdir()
    if case == "a stage of DVC":
        monkeypatch.setenv("DVC_STAGE", "study")
    before = sorted(os.listdir(here))
    # Else the missing config would be told.
    record()
    assert sorted(os.listdir(here)) == before and warnings() == []


def test_config_that_dvc_cannot_follow_is_reported_and_nothing_recorded(here, warnings):
    (here / ".dvc").mkdir()
    (here / ".git").mkdir()
    networks = {"small": {**STUDY["networks"]["small"], "seeds": [0, 1]}}
    Path("config.yaml").write_text(yaml.safe_dump({**STUDY, "networks": networks}))
    record()
    (text,) = warnings()
    assert text.startswith("The results are there, but DVC has not recorded them: config.yaml: networks.small stands")
    assert not Path("data").exists() and not Path("made.lock").exists()
