# What single units of a neural network do, and whether they matter: the flow.
# The rules stand in the order of the flow, one file a phase; rules/common.smk holds what they share.

import gc

from snakemake.utils import min_version

min_version("9.27")


report: "rules/captions/study.rst"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/activations.smk"
include: "rules/images.smk"
include: "rules/interventions.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/analyses.smk"
include: "rules/training_time.smk"


# Only where the config says where the page goes: the default study shall not write over the paper's.
if STUDY.reproduction:

    include: "rules/paper.smk"


rule all:
    default_target: True
    input:
        [final_files(STUDY, name) for name in STUDY.experiments],
        # By name: what a rule writes has another path where artifacts are kept in a bucket.
        expand("results/{entry}.training/{file}", entry=OVER_EPOCHS, file=["training_time.png", "claims.csv"]),
        rules.reproduction.output if STUDY.reproduction else [],


# `snakemake networks` makes what all experiments begin with. (--until ends after the first rule that it names.)
rule networks:
    input:
        expand(
            "data/checkpoints/{network}.pt",
            network=sorted({chosen["network"] for chosen in STUDY.experiments.values()}),
        ),


# `snakemake experiment_NAME` brings one experiment up to date.
for name in STUDY.experiments:

    rule:
        name:
            f"experiment_{name}"
        input:
            final_files(STUDY, name),


try:
    if workflow.is_main_process:
        refuse_collisions(files_of(workflow, lambda names: values_of(STUDY, names)))
        check_layers(STUDY, ROOT)
except UserError as error:
    raise Error(f"{CONFIG}: {error}") from None

# What is loaded by now stays until the end. Searching it for cycles when the process ends takes 0.3 of the 1.9 s of a call
# that has nothing to do.
gc.freeze()


# Where jobs run here, how many may start in a second needs no limit. With the one that Snakemake has, every job that has
# finished adds one more look at all jobs that are ready, each second until the end: hundreds of jobs cost a processor.
onstart:
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
    # For `unitscope unlock`: on a shared file system the lock may be another machine's.
    write_bytes(Path(".snakemake/unitscope_host"), platform.node().encode())


# Called as well where there was nothing to do.
onsuccess:
    if is_to_be_recorded(workflow):
        shell("python -m unitscope record")
