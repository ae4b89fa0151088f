"""The command `unitscope`. What a verb does is a function of the library, loaded when the verb is called."""

from pathlib import Path
from typing import Annotated

import typer

from unitscope.cli.verbs import project_verb, verb

app = typer.Typer(
    help="What single units of a neural network respond to, and whether they matter. Runs in the project's folder.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEFAULT = [Path("config.yaml")]
Configs = Annotated[
    list[Path], typer.Argument(metavar="CONFIG", help="the config (.yaml), and others that are laid over it")
]


def main() -> None:
    """Run the command line."""
    app(prog_name="unitscope")


@app.command()
@verb
def check(config: Configs = DEFAULT) -> None:
    """Check a config.

    Its settings, the files that it names, and its layers as far as they are known without data.
    """
    from unitscope.workflow.study import checked, contents

    print(f"{' and '.join(map(str, config))}: {contents(checked(Path.cwd(), *config))}.")


@app.command()
@verb
def layers(
    config: Annotated[Path, typer.Argument(help="the config (.yaml)")],
    experiment: Annotated[str, typer.Argument(help="name of an experiment in it")],
) -> None:
    """List the layers of an experiment's network.

    These are what may be named under `layers` in the config; a star marks those that the experiment takes.
    """
    from unitscope.workflow.layer_listing import listing

    for text in listing(Path.cwd(), config, experiment):
        print(text)


@app.command()
@project_verb
def plan(
    config: Configs = DEFAULT,
    seconds: Annotated[float, typer.Option(help="how long the calibration may take, about")] = 30.0,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TRAIN,TEST,CLASSES",
            help="how many images and classes a data set will have whose folder is not here; its settings name a crop",
        ),
    ] = None,
) -> None:
    """Estimate jobs, hours and bytes of a run.

    Hours are estimated by a calibration on this machine.
    """
    from unitscope.workflow import costs

    promised = dict(map(costs.promised, images or []))
    print(costs.plan(Path.cwd(), config, seconds, promised))


@app.command()
@project_verb
def run(
    config: Configs = DEFAULT,
    cores: Annotated[str, typer.Option(help="processors that jobs may use at the same time, or `all`")] = "all",
    gpus: Annotated[int, typer.Option(help="jobs that may use a GPU at the same time")] = 1,
) -> int:
    """Run a study.

    Checks the config, removes the locks of a killed run, calls Snakemake, and shows the summary.
    """
    from unitscope.workflow.flow import call, run_words
    from unitscope.workflow.study import load_study
    from unitscope.workflow.unlocking import unlock as unlocked

    # Snakemake looks at the layers itself.
    load_study(Path.cwd(), *config, layers=False)
    for line in unlocked():
        print(line, flush=True)
    if code := call(run_words(config, cores, gpus)):
        return code
    _summarize(config, Path("results"))
    return 0


@app.command()
@verb
def summary(
    config: Configs = DEFAULT,
    results: Annotated[Path, typer.Option(help="folder of the experiments' results")] = Path("results"),
) -> None:
    """Summarize a finished study.

    Shows the scores in short, and where the figures are.
    """
    _summarize(config, results)


def _summarize(config: list[Path], results: Path) -> None:
    from unitscope.workflow.run_summary import summary
    from unitscope.workflow.study import load_study

    for text in summary(load_study(Path.cwd(), *config), results):
        print(text)


@app.command()
@project_verb
def report(
    config: Configs = DEFAULT,
    output: Annotated[Path, typer.Option(help="where the report goes (.html)")] = Path("report.html"),
) -> int:
    """Write figures and tables as one page.

    Refuses a study of which an artifact is not fresh.
    """
    from unitscope.config.config_files import read_all
    from unitscope.errors import UserError
    from unitscope.workflow.flow import call, study_words
    from unitscope.workflow.ledger import gate

    # Before Snakemake, to which a config may be code.
    read_all(config)
    if reasons := gate(*study_words(config)).reasons:
        raise UserError(f"No report is written of what is not fresh: {'; '.join(reasons[:5])}. Run `make run` first.")
    return call(["snakemake", *study_words(config), "--report", str(output)])


@app.command()
@project_verb
def clean(
    config: Configs = DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="remove the files instead of only listing them")] = False,
) -> None:
    """List or remove artifacts of earlier settings.

    Removed are files that jobs of this config wrote and that it no longer asks for, and those of configs that are gone.
    Kept are files that another config owns or names, files that no job wrote, and files that have changed since.
    """
    from unitscope.workflow.flow import is_default
    from unitscope.workflow.leftovers import clean as cleaned
    from unitscope.workflow.store.record import record as recorded

    for line in cleaned(config, yes):
        print(line)
    if yes and is_default(config):
        # DVC records the folder of an experiment as a whole.
        recorded()


@app.command()
@project_verb
def restore() -> None:
    """Fetch the artifacts of this commit from DVC's remote.

    Compares each with dvc.lock and made.lock.
    """
    from unitscope.workflow.store.restore import restore as restored

    for line in restored():
        print(line)


@app.command()
@project_verb
def push() -> None:
    """Send the artifacts of this commit to DVC's remote.

    Refuses unless all of them are fresh, recorded and undamaged.
    """
    from unitscope.workflow.store.push import push as pushed

    for line in pushed():
        print(line, flush=True)


@app.command()
@project_verb
def verify(
    cache: Annotated[bool, typer.Option("--cache", help="look into DVC's cache")] = False,
    store: Annotated[bool, typer.Option("--store", help="look into DVC's default remote")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="put back what is missing or damaged there")] = False,
) -> None:
    """Read artifacts and compare them with dvc.lock.

    Here, in DVC's cache, or in the remote store. With --repair, what is missing or damaged in the cache is put back
    from this folder, and in the store from the cache.
    """
    from unitscope.errors import UserError
    from unitscope.workflow.store.verify import verify_copies, verify_here

    if cache and store:
        raise UserError("--cache and --store exclude one another. Name one of them.")
    if repair and not (cache or store):
        raise UserError("--repair puts back copies: name --cache or --store.")

    lines = verify_copies("cache" if cache else "store", repair) if cache or store else verify_here()
    for line in lines:
        print(line)


@app.command()
@project_verb
def unlock() -> None:
    """Remove the locks of a killed Snakemake or DVC.

    Waits for the end of the jobs that it left behind.
    """
    from unitscope.workflow.unlocking import unlock as unlocked

    for line in unlocked():
        print(line, flush=True)


# --- called by Snakemake and DVC -------------------------------------------------------------------------------------


@app.command(hidden=True)
@project_verb
def record() -> None:
    """Let DVC record a finished call of Snakemake.

    If every artifact of config.yaml is fresh; made.lock then vouches for them.
    """
    from unitscope.workflow.store.record import record as recorded

    recorded()


@app.command(hidden=True)
@project_verb
def study(
    output: Annotated[Path, typer.Option(help="folder for the files")],
    config: Annotated[Path, typer.Option(help="the config (.yaml)")] = DEFAULT[0],
    whole: Annotated[
        bool, typer.Option("--whole", help="one stage follows it as a whole: entries may stand for several trainings")
    ] = False,
) -> None:
    """Write the files that DVC's stages depend on."""
    from unitscope.workflow.store.stage_dependencies import write_stage_dependencies

    for line in write_stage_dependencies(Path.cwd(), config, output, whole):
        print(line)


@app.command(hidden=True)
@project_verb
def reproduce(
    target: Annotated[list[str], typer.Argument(help="files or target rules to bring up to date")],
    config: Annotated[Path | None, typer.Option(help="the config (.yaml), if it is not config.yaml")] = None,
    study: Annotated[Path, typer.Option(help="what the stage `study` has written")] = Path("data/study"),
) -> int:
    """Bring files up to date with Snakemake, as a stage of DVC."""
    from unitscope.workflow.store.reproduce import reproduce as reproduced

    return reproduced(target, config, study)
