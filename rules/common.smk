# What the rules share: the study that the config describes, and what its jobs read, are told, and run.

import os
import platform
import sys
from pathlib import Path

from snakemake.logging import logger

ROOT = Path(workflow.basedir)
# The library beside this file, whatever is installed elsewhere: here for the rules, below for the programs.
sys.path.insert(0, str(ROOT))

from unitscope.config.config_files import read_all, with_arguments, with_numbers
from unitscope.config.registry import ANALYSES, OVERVIEWS
from unitscope.config.resolve import over_epochs
from unitscope.errors import UserError
from unitscope.runtime.console import processors
from unitscope.storage.atomic_writes import write_bytes
from unitscope.storage.records import canonical_json
from unitscope.workflow.collisions import refuse_collisions
from unitscope.workflow.jobs.final_files import final_files
from unitscope.workflow.jobs.job_checks import JobChecks
from unitscope.workflow.jobs.job_code import JobCode
from unitscope.workflow.jobs.job_files import EVIDENCE, JobFiles
from unitscope.workflow.jobs.job_resources import gpus_per_job
from unitscope.workflow.jobs.job_settings import JobSettings
from unitscope.workflow.jobs.wildcard_values import alternatives, constraints, values_of
from unitscope.workflow.project_folder import job_environment, refuse_wrong_folder
from unitscope.workflow.snakemake_internals.flow_hooks import Hooks
from unitscope.workflow.snakemake_internals.installation import config_arguments, install, is_to_be_recorded
from unitscope.workflow.snakemake_internals.refusals import Error
from unitscope.workflow.snakemake_internals.rule_files import files_of
from unitscope.workflow.study import check_layers, complete, load_study, refuse_missing_files

os.environ.update(job_environment(ROOT, os.environ))
try:
    refuse_wrong_folder(ROOT)
    # To Snakemake a config may be code, and the last of two equal keys counts: read before Snakemake does.
    READING = read_all([Path(file) for file in workflow.configfiles or ["config.yaml"]])
except UserError as error:
    raise Error(str(error)) from None

# Snakemake would merge this file with one given by --configfile, and run the default study as well.
if not workflow.configfiles:

    configfile: "config.yaml"


CONFIG = ", ".join(map(str, workflow.configfiles))
try:
    # In place: this is what all rules see as the config.
    config.update(with_arguments(with_numbers(config, READING), config_arguments(workflow)))
    STUDY = complete(config, CONFIG, ROOT, paths=[Path(file) for file in workflow.configfiles])
    refuse_missing_files(STUDY)
except UserError as error:
    raise Error(str(error)) from None

# --cores may promise more processors than this process has; jobs times threads shall not exceed those that there are.
if workflow.local_exec and workflow.global_resources["_cores"].value is not None:
    workflow.register_resource("_cores", min(workflow.cores, processors()))

# Only an executor for a cluster has --jobs.
GPU = gpus_per_job(STUDY, on_cluster=workflow.global_resources["_nodes"].value is not None)


def notify(text):
    """Show a line, once for all processes of a run."""
    if workflow.is_main_process:
        logger.info(text)


# What jobs read, what they are told, what is said of single ones, and the programs that they run.
FILES = JobFiles(STUDY)
SETTINGS = JobSettings(STUDY)
CHECKS = JobChecks(STUDY, ROOT, notify, Error)
CODE = JobCode(ROOT, SETTINGS.user_function)
program, code, code_and_network = CODE.program, CODE.digest, CODE.with_network

# Those whose layers are shared by several jobs.
IN_BLOCKS = [name for name, chosen in STUDY.experiments.items() if chosen["images"]["block"]]

# The checkpoints of one training that belong together.
OVER_EPOCHS = over_epochs(STUDY)


wildcard_constraints:
    **constraints(STUDY),


install(
    Hooks(
        refuse=CHECKS.refusal,
        source=CHECKS.source_now,
        lower=CHECKS.to_lower,
        settings=CHECKS.settings,
        equal_today=CHECKS.is_equal_today,
        takeover=config.get("takeover", False),
        checks=["taps"],
    )
)


def figure(name, category, **labels):
    """Return a figure as an output that Snakemake's report shows."""
    return report(
        f"results/{{experiment}}/figures/{name}.png",
        caption=f"captions/{name.rpartition('.')[2]}.rst",
        category=category,
        labels={"experiment": "{experiment}", **labels},
    )


def table(name):
    """Return a table as an output that Snakemake's report shows."""
    return report(
        f"results/{{experiment}}/{name}.csv",
        caption=f"captions/{name}.rst",
        category="Tables",
        labels={"experiment": "{experiment}", "table": name},
    )
