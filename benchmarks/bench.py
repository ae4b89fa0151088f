"""Speed against other libraries and against the floor: `python benchmarks/bench.py [section ...]`.

The floor of an ascent is the forward pass to the tapped layer and the backward pass to the pixels, with frozen weights,
on the same batch, channels last, batch norms folded. The floor of extraction is the plain forward pass; ablation is
measured against a full pass a unit with a hook. All figures are medians of alternating runs in one process, with random
weights.
"""

import argparse
import contextlib
import copy
import functools
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from unitscope.data.sampling import select_units
from unitscope.interventions.ablation import ablation_scores
from unitscope.maximization.ascent import ascend
from unitscope.maximization.maximize import maximize
from unitscope.maximization.parametrization import parametrize, start_image
from unitscope.maximization.passes import passes
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.slots import begin
from unitscope.networks.building import build, freeze
from unitscope.probing.activations import activations
from unitscope.probing.layer import Layer
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.probe import Probe
from unitscope.runtime.devices import pixels
from unitscope.scores.substitution import representative_substitution

ROOT = Path(__file__).parent.parent
SHAPE = (3, 32, 32)
NETWORKS = {
    "shallow convnet": {"source": "built_in", "model": "shallow_convnet", "options": {}},
    "VGG16": {"source": "built_in", "model": "vgg16", "options": {}},
}
RUNS = 5
STEPS = {"shallow convnet": 8, "VGG16": 2}
"""Steps of an ascent, at least: where a step is short, more are taken, up to 64, so that what lasts is measured."""
LASTING = 0.3
"""Seconds of the floor's passes over one batch, at least, up to 64 steps."""
UNITS = 128
"""Units of a layer that get an image, in one call of lucent."""
BATCH = 32
"""Units that climb together: the default of the config."""
TOGETHER, EACH = "lucent, batch=", "lucent, a unit at a time"
ALONE = 2
"""Units that lucent is given one by one; the others would take as long."""
ANOTHER_SEED = "another seed"
ROUNDING = "start + 1e-7"
"""All steps in float32 again, from a start that differs by the rounding of its pixels: no ascent that is not the same
bit for bit can be asked to give the RS of another more exactly than this one does."""
CLIMBING = 4 * BATCH
"""Units of a layer that get an image with less arithmetic: so many that most of those who leave the batch are followed
by another, as in a layer of which all units climb."""
SAMPLED = 2, 64
"""Units whose ablation is timed, at least and at most, so many that they take about as long as what a layer's units
share; the others of the layer take as long."""


def network(name: str) -> nn.Module:
    """Return a frozen network of the benchmark, with the random weights that it would be trained from."""
    return freeze(build({**NETWORKS[name], "seed": 0}, SHAPE, 10))


def opened(module: nn.Module) -> Probe:
    """Return a network of the benchmark, opened at its layers."""
    return Probe(module, SHAPE, mean=0, std=1)


def alternating(candidates: dict[str, Callable[[], object]], runs: int = RUNS) -> dict[str, float]:
    """Return the median seconds of each candidate, run in turn, after one run of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for run in range(runs + 1):
        for name, candidate in candidates.items():
            started = time.perf_counter()
            candidate()
            if run:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def row(what: str, ours: float, other: str, theirs: float, floor: float | None = None, unit: str = "s") -> None:
    """Print a row of the table."""
    floor_text = "" if floor is None else f"{floor:>10.3f}{ours / floor:>8.2f}"
    print(f"{what:<60}{ours:>10.3f} {unit:<3}{other:<34}{theirs:>10.3f}{theirs / ours:>8.1f}{floor_text}", flush=True)


# --- ascents ---------------------------------------------------------------------------------------------------------


def floor_of_ascent(layer: Layer, images: torch.Tensor, steps: int) -> Callable[[], None]:
    """Return the least that an ascent can do: forward to the tap, backward to the pixels."""
    forward = layer.tapped().outputs
    held = images.clone(memory_format=torch.preserve_format).requires_grad_(True)
    with torch.no_grad():
        ones = torch.ones_like(forward(held))

    def run() -> None:
        for _ in range(steps):
            torch.autograd.grad(forward(held), held, ones)

    return run


def our_ascent(layer: Layer, count: int, batch: int, recipe: Recipe) -> Callable[[], None]:
    """Return the ascent of the first units of a layer."""
    forward = passes(layer, recipe)
    units = list(range(count))
    space = parametrize(recipe, SHAPE[1:], torch.device("cpu"))
    starts = [torch.from_numpy(start_image(recipe, 0, layer.name, unit, SHAPE)) for unit in units]

    def run() -> None:
        climbs = [begin(space, row, image) for row, image in enumerate(starts)]
        list(ascend(forward, space, climbs, units, batch))

    return run


def lucent_ascent(
    module: nn.Module, layer: Layer, units: list[int], steps: int, together: bool, method: str = "am"
) -> Callable[[], None]:
    """Return lucent's ascent of some units: in one call, or a call each; pixels, no transforms, fixed image size."""
    from lucent.optvis import objectives, param, render

    name = layer.name.replace(".", "_")
    # As its users hand it over: trainable, in PyTorch's own memory layout.
    module = copy.deepcopy(module).to(memory_format=torch.contiguous_format).requires_grad_(True)

    @objectives.wrap_objective()
    def independent(units: list[int]) -> Callable[..., torch.Tensor]:
        # IAM as a user of lucent would write it, for all units of the call at once.
        def inner(outputs: Callable[[str], torch.Tensor]) -> torch.Tensor:
            values = outputs(name)
            values = values if layer.signed else torch.relu(values)
            values = values.mean((2, 3)) if values.dim() == 4 else values
            target_values = values[torch.arange(len(units)), units]
            return -(target_values - (values.sum(1) - target_values) / (values.shape[1] - 1)).sum()

        return inner

    common = {
        "optimizer": functools.partial(torch.optim.Adam, lr=0.05),
        "transforms": [],
        "thresholds": (steps,),
        "preprocess": False,
        "progress": False,
        "show_image": False,
        "fixed_image_size": SHAPE[1],
    }

    def run() -> None:
        calls = [units] if together else [[unit] for unit in units]
        for call in calls:
            if method == "iam":
                objective = independent(call)
            else:
                objective = objectives.channel(name, call[0], batch=0)
                for place, unit in enumerate(call[1:], 1):
                    objective = objective + objectives.channel(name, unit, batch=place)
            image = functools.partial(param.image, SHAPE[1], batch=len(call), fft=False, decorrelate=False, sd=0.05)
            with contextlib.redirect_stdout(io.StringIO()):
                render.render_vis(module, objective, image, **common)

    return run


def ascents() -> None:
    """Run AM and IAM on all layers of both networks, against the floor and against lucent."""
    for name, fewest in STEPS.items():
        module = network(name)
        for method in ("am", "iam"):
            totals: dict[str, float] = {}
            for layer in opened(module):
                batch, units = min(BATCH, layer.units), min(UNITS, layer.units)
                images = torch.rand(batch, *SHAPE).contiguous(memory_format=torch.channels_last)
                passed = alternating({"": floor_of_ascent(layer, images, 2)}, runs=3)[""] / 2
                steps = max(fewest, min(64, round(LASTING / passed)))
                recipe = Recipe(objective=method, steps=steps, points=2)
                candidates = {
                    "floor": floor_of_ascent(layer, images, steps),
                    "ours": our_ascent(layer, units, batch, recipe),
                }
                for other, some, together in ((TOGETHER, range(units), True), (EACH, range(ALONE), False)):
                    candidates[other] = lucent_ascent(module, layer, list(some), steps, together, method)
                times = alternating(candidates)
                times["floor"] *= units / batch
                times[EACH] *= units / ALONE
                totals = {key: totals.get(key, 0.0) + value / steps for key, value in times.items()}
                step = {key: 1000 * value / steps * batch / units for key, value in times.items()}
                what = f"{name} {layer.name} {method}, a step of {batch}"
                row(what, step["ours"], "floor", step["floor"], step["floor"], "ms")
            what = f"{name}, all layers, {method}, a step of all units"
            for other in (TOGETHER, EACH):
                row(what, totals["ours"], other, totals[other], totals["floor"])


def less(checkpoint: str, method: str, compared: int, changes: dict[str, Recipe]) -> None:
    """Run ascents with less arithmetic on a trained network: how much sooner, and whether RS stays what it was.

    Beside each stands Spearman with the RS of all steps and, in brackets, the largest number of units of the layer by
    which a unit's RS moved.

    Args:
        checkpoint: Name of the network.
        method: "am" or "iam".
        compared: Units of each layer whose images are made with all steps, too. Those take as long a unit, however many
            there are.
        changes: Recipes by name; the default one is run beside them, and so are `ROUNDING` and `ANOTHER_SEED`, from
            other starts.
    """
    path = ROOT / "data" / "checkpoints" / f"{checkpoint}.pt"
    if not path.exists():
        print(
            f"less arithmetic, {checkpoint}: left out, there is no {path.relative_to(ROOT)} (see benchmarks/README.md)"
        )
        return
    probe, _ = open_checkpoint(path, torch.device("cpu"))
    changes = changes | {ROUNDING: Recipe(noise=Recipe().noise * (1 + 1e-6)), ANOTHER_SEED: Recipe()}
    totals: dict[str, float] = {}
    for layer in probe:
        units = select_units({"sample": CLIMBING, "seed": 0}, layer.units)
        call = units[:BATCH].tolist()
        lucent = lucent_ascent(probe.module, layer, call, 4, True, method)
        theirs = alternating({"": lucent}, runs=3)[""] / 4 * Recipe().steps * len(units) / len(call)
        totals["lucent"] = totals.get("lucent", 0.0) + theirs
        scores, seconds = {}, {}
        for name, recipe in {"all steps": Recipe(), **changes}.items():
            recipe = replace(recipe, objective=method)
            seed = int(name == ANOTHER_SEED)
            some = units if recipe.settled else units[:compared]
            started = time.perf_counter()
            generated = maximize(layer, some, recipe, batch=min(BATCH, len(units)), seeds=(seed,))
            seconds[name] = (time.perf_counter() - started) * len(units) / len(some)
            totals[name] = totals.get(name, 0.0) + seconds[name]
            scores[name] = representative_substitution(generated.responses, some)[0][:compared]
        reference = scores["all steps"]
        for name in changes:
            used = ~np.isnan(reference) & ~np.isnan(scores[name])
            spread = used.any() and np.ptp(reference[used]) and np.ptp(scores[name][used])
            rank = f"{spearmanr(reference[used], scores[name][used])[0]:.3f}" if spread else "no spread"
            places = round(float(np.abs(reference - scores[name])[used].max(initial=0.0)) * layer.units)
            row(f"{checkpoint} {layer.name} {method}, {name}: {rank} ({places})", seconds[name], TOGETHER, theirs)
    for name in ("all steps", *changes):
        row(f"{checkpoint}, all layers, {method}, {name}", totals[name], TOGETHER, totals["lucent"])


def less_arithmetic(methods: Sequence[str] = ("am", "iam")) -> None:
    """Run the ascents with less arithmetic on the networks of paper/cpu.yaml."""
    early = Recipe(settled=2, unsettled=0.2)
    # On the shallow convnet AM comes back to the RS of all steps where it ends later, and IAM either way.
    shallow = {"am": replace(early, settled=3), "iam": early}
    half = {"bfloat16, settled": replace(early, precision="bfloat16")}
    for method in methods:
        less("shallow-cpu-seed0", method, 64, {"settled": shallow[method], **half})
        less("vgg16-cifar10-cpu", method, 32, half)


# --- extraction ------------------------------------------------------------------------------------------------------


def extraction(count: int = 10_000) -> None:
    """Extract activations of all 16 layers of VGG16 in one pass, written to HDF5, against the plain forward pass."""
    import h5py
    from torchvision.models.feature_extraction import create_feature_extractor

    module = network("VGG16")
    probe = opened(module)
    layers = [layer.name for layer in probe]
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    batches = [images[first : first + 250] for first in range(0, count, 250)]
    extractor = create_feature_extractor(module, layers)

    def plain() -> None:
        with torch.inference_mode():
            for batch in batches:
                module(pixels(batch, torch.device("cpu")))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder, h5py.File(f"{folder}/a.h5", "w") as file:
            first = 0
            for values in activations(probe.layers, batches):
                for layer, array in values.items():
                    if layer not in file:
                        file.create_dataset(
                            layer, (count, array.shape[1]), np.float32, chunks=(250, min(64, array.shape[1]))
                        )
                    file[layer][first : first + len(array)] = array
                first += 250

    def torchvision() -> None:
        with torch.inference_mode():
            kept = [
                {key: value.flatten(2).mean(2) if value.dim() == 4 else value for key, value in outputs.items()}
                for outputs in (extractor(pixels(batch, torch.device("cpu"))) for batch in batches)
            ]
            for layer in layers:
                torch.cat([outputs[layer] for outputs in kept]).numpy()

    times = alternating({"plain": plain, "ours": ours, "torchvision": torchvision})
    other = "create_feature_extractor, no file"
    row(f"VGG16, 16 layers, {count} images to HDF5", times["ours"], other, times["torchvision"], times["plain"])


# The kernel's own mark of this program: getrusage's is at least what the parent had when it was started.
MEMORY = """
import re, sys
from pathlib import Path
sys.argv = ["activations.py", *sys.argv[1:]]
import runpy
try:
    runpy.run_path("scripts/activations/activations.py", run_name="__main__")
finally:
    print(int(re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def python(*words: object) -> str:
    """Run Python in the project's folder and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def memory() -> None:
    """Measure the peak resident memory of the activations rule on 10,000 and on 60,000 images."""
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = np.random.default_rng(0)
        for count in (10_000, 60_000):
            np.savez(
                folder / "x.npz",
                images=generator.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8),
                labels=np.arange(count) % 10,
                split=(np.arange(count) // 10 % 2).astype(np.uint8),
            )
            settings = f'{{"source": "arrays", "path": "{folder}/x.npz", "test_fraction": 0.5, "seed": 0}}'
            python("scripts/data/dataset.py", "--settings", settings, "--output", folder / "x.h5")
            network = json.dumps(
                {
                    **{"source": "built_in", "model": "mlp", "options": {}, "input": None, "normalization": None},
                    **{"weights": None, "head": None, "seed": 0},
                    "training": {"epochs": 0, "stop_after": None},
                }
            )
            python(
                "scripts/data/checkpoint.py", "--dataset", folder / "x.h5", "--settings", network,
                "--output", folder / "x.pt", "--record", folder / "x.json",
            )  # fmt: skip
            layers = ["hidden1", "hidden2", "hidden3", "hidden4"]
            python(
                "scripts/data/taps.py", "--dataset", folder / "x.h5", "--network", network, "--layers", *layers,
                "--output", folder / "taps.json",
            )  # fmt: skip
            settings = json.dumps({"batch": 250, "readout": "mean", "compile": False})
            output = python(
                "-c", MEMORY, "--checkpoint", folder / "x.pt", "--dataset", folder / "x.h5",
                "--taps", folder / "taps.json", "--settings", settings, "--output", folder / "a.h5",
            )  # fmt: skip
            peaks[count] = float(output.split()[-1])
    row("activations rule, 60,000 images, peak memory", peaks[60_000], "10,000 images", peaks[10_000], unit="MB")


# --- ablation --------------------------------------------------------------------------------------------------------


def full_pass(module: nn.Module, layer: Layer, images: torch.Tensor) -> Callable[[int], None]:
    """Return the plain way to ablate a unit: a full pass with a hook on the layer's ReLU or, where none is, on it."""
    parts = list(module.named_modules())
    place = next(number for number, (name, _) in enumerate(parts) if name == layer.name)
    relus = [part for _, part in parts[place + 1 : place + 3] if isinstance(part, nn.ReLU)]
    part = relus[0] if relus and not layer.signed else parts[place][1]

    def run(unit: int) -> None:
        def clamp(_: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            output[:, unit] = 0.0
            return output

        handle = part.register_forward_hook(clamp)
        try:
            with torch.inference_mode():
                for first in range(0, len(images), 250):
                    module(images[first : first + 250])
        finally:
            handle.remove()

    return run


def ablations(count: int = 1000) -> None:
    """Ablate units of every layer of VGG16, against a full pass a unit with a hook, and against captum."""
    from captum.attr import LayerFeatureAblation

    module = network("VGG16")
    data = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    images = pixels(data, torch.device("cpu"))
    labels, halves = np.zeros(count, np.int64), np.arange(count) % 2
    batches = [(data[first : first + 250], labels[first : first + 250]) for first in range(0, count, 250)]
    totals = {"ours": 0.0, "hook": 0.0, "captum": 0.0}
    for layer in opened(module):
        part = module.get_submodule(layer.name)
        mask = torch.arange(layer.units).view(1, -1, *[1] * len(layer.map))

        def ours(units: int, layer: Layer = layer) -> Callable[[], object]:
            clamps = {"": np.zeros(layer.units)}
            return lambda: ablation_scores(layer, batches, clamps, halves, units=range(units))

        def captum(part: nn.Module = part, mask: torch.Tensor = mask) -> None:
            # Captum ablates all groups of the mask: one unit is a group, the others are another.
            with torch.inference_mode(), contextlib.redirect_stderr(io.StringIO()):
                LayerFeatureAblation(module, part).attribute(images[:100], target=0, layer_mask=mask.clamp(max=1))

        hook = full_pass(module, layer, images)
        trial = alternating({"one": ours(1), "more": ours(5)}, runs=1)
        share = max((trial["more"] - trial["one"]) / 4, 1e-3)
        sampled = int(np.clip(trial["one"] / share, SAMPLED[0], min(SAMPLED[1], layer.units - 1)))
        times = alternating(
            {"one": ours(1), "more": ours(1 + sampled), "hook": functools.partial(hook, 0), "captum": captum}
        )
        # What is shared by all units of the layer is charged to all of them.
        each = (times["more"] - times["one"]) / sampled
        seconds = {
            "ours": times["one"] + (layer.units - 1) * each,
            "hook": times["hook"] * layer.units,
            # Two groups and the plain pass before them.
            "captum": times["captum"] / 3 * count / 100 * layer.units,
        }
        row(
            f"VGG16 {layer.name}, {layer.units} units, {count} images",
            seconds["ours"],
            "full pass with a hook",
            seconds["hook"],
        )
        totals = {key: totals[key] + seconds[key] for key in totals}
    row("VGG16, all units of all layers", totals["ours"], "full pass with a hook", totals["hook"])
    row("VGG16, all units of all layers", totals["ours"], "captum's LayerFeatureAblation", totals["captum"])


# --- the workflow ----------------------------------------------------------------------------------------------------


def workflow() -> None:
    """Time a run that has nothing to do, a plan of a large study, and the start of all programs of a run."""
    import yaml

    def seconds(*command: str) -> float:
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - started

    row(
        "snakemake on a finished default study",
        statistics.median(seconds("snakemake", "--cores", "8") for _ in range(RUNS)),
        "bar",
        5.0,
    )
    entry = {
        "model": "mlp",
        "options": {"widths": [8] * 15},
        "input": [1, 8, 8],
        "weights": {"file": "x", "sha256": "0" * 64},
    }
    layers = [f"hidden{number}" for number in range(1, 16)]
    study = {
        "networks": {f"network{number}": entry for number in range(4)},
        "experiments": {f"e{number}": {"network": f"network{number}", "layers": layers} for number in range(4)},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(study, file)
        file.flush()
        planned = statistics.median(seconds("snakemake", "-n", "--configfile", file.name) for _ in range(3))
    row("snakemake -n, 4 experiments, 60 layers", planned, "bar", 15.0)
    jobs = subprocess.run(
        ["snakemake", "-n", "--forceall"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    counts = dict(re.findall(r"^(\w+) +(\d+)$", jobs.partition("Job stats:")[2], re.MULTILINE))
    total = 0.0
    for rule, count in counts.items():
        path = next((ROOT / "scripts").rglob(f"{rule}.py"), None)
        if path is None:
            continue
        before = os.times()
        for _ in range(3):
            subprocess.run(
                [sys.executable, path, "--help"],
                env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
            )  # fmt: skip
        after = os.times()
        spent = (after.children_user + after.children_system - before.children_user - before.children_system) / 3
        total += int(count) * spent
    row("start of all programs of the default run", total, "bar (core-seconds)", 60.0)


SECTIONS = {
    "ascents": ascents,
    "less": less_arithmetic,
    "extraction": extraction,
    "memory": memory,
    "ablations": ablations,
    "workflow": workflow,
}


def main() -> None:
    """Run the sections that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    sections = parser.parse_args().sections or list(SECTIONS)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; medians of {RUNS} runs")
    print(f"{'what':<60}{'ours':>10}    {'other':<34}{'':>10}{'ratio':>8}{'floor':>10}{'/floor':>8}")
    for section in sections:
        SECTIONS[section]()


if __name__ == "__main__":
    main()
