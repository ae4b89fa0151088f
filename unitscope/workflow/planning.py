"""What a study will cost, before it is run: seconds by a short calibration on this machine, bytes by the layouts.

Works on modules and settings. Which jobs there are to be done is for the caller to say.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from unitscope.data.dataset_settings import DatasetSettings
from unitscope.data.outlines import Outline, outline_with_data, outline_without_data
from unitscope.data.sampling import select_units
from unitscope.interventions.cumulative import DIRECTIONS
from unitscope.interventions.noisy_copies import ROUNDS, SECTIONS
from unitscope.interventions.optimal_clamp import FITTED_IMAGES, TRIED_CONSTANTS
from unitscope.interventions.replacement import SIZES
from unitscope.interventions.replacement_sets import CONTROLS
from unitscope.interventions.rescaling import recipes_to_remake
from unitscope.maximization.ascent import ascend
from unitscope.maximization.parametrization import parametrize
from unitscope.maximization.passes import passes, stages
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.slots import begin
from unitscope.networks.building import build, freeze, normalized
from unitscope.networks.normalization import OnPixels
from unitscope.networks.weight_files import read_program
from unitscope.probing.layer import Layer
from unitscope.probing.probe import Probe, example_pixels
from unitscope.runtime.devices import wait_for
from unitscope.scores.predictors import redundancy
from unitscope.scores.substitution import MAX_SUBSTITUTES

SOME_CLASSES = 10
"""As many as a network is built for where it is not known how many there are."""


def probe_before_training(network: Mapping[str, Any], dataset: DatasetSettings | None, stored: Path) -> Probe:
    """Open a network of the config, from its architecture alone.

    Args:
        network: Its settings.
        dataset: Settings of its data set; None where it has none.
        stored: Where the data set lies once it is there; else its source is asked for the size of an image.

    Raises:
        UserError: The architecture or the data set is not there, or they do not fit together.
    """
    if dataset is None:
        shape, classes = network["input"], 0
    else:
        outline = outline_without_data(dataset, stored)
        shape, classes = outline if outline is not None else outline_with_data(dataset)
    module = _untrained(network, shape, classes or SOME_CLASSES)
    return Probe.owning(module, example_pixels(shape, torch.device("cpu")))


def _untrained(network: Mapping[str, Any], shape: Sequence[int], classes: int) -> OnPixels:
    """Return a network of the config with the weights that its architecture starts from, frozen."""
    if network["source"] == "exported":
        network = {**network, "program": read_program(network["weights"])}
    channels = shape[0]
    module = build(network, shape, len(network.get("classes") or []) or classes)
    # How many outputs an exported program has is not known to the config.
    named = [str(number) for number in range(classes)] if network["source"] != "exported" else []
    scales = ([0.5] * channels, [0.25] * channels)
    module = normalized(module, shape, scales, network, network.get("classes") or named)
    freeze(module)
    return module


class Calibration:
    """Seconds and bytes of the steps of one network, measured with random weights.

    Attributes:
        probe: The network.
        layers: Its layers by name.
        suffix_seconds: Seconds from a layer's activation to the logits for one image, where they have been measured.
        forward_seconds: Seconds of a forward pass for one image, by the images at a time that were asked for.
        ascent_seconds: Seconds of two steps of an ascent for one image, by layer, readout, images at a time and recipe.
    """

    def __init__(self, network: Mapping[str, Any], data: Outline, device: torch.device, budget: float) -> None:
        """Build the network.

        Args:
            network: Its settings.
            data: Its data set.
            device: Where it will run.
            budget: Seconds that one measurement may take, about.
        """
        # Seconds of one processor: what jobs that run side by side add up to.
        torch.set_num_threads(1)
        self.data, self.device, self.budget = data, device, budget
        module = _untrained(network, data.shape, max(1, data.classes)).to(device)
        self.probe = Probe.owning(module, example_pixels(data.shape, device))
        self.layers: dict[str, Layer] = {layer.name: layer for layer in self.probe.layers}
        self.suffix_seconds: dict[str, float] = {}
        self.forward_seconds: dict[int, float] = {}
        self.ascent_seconds: dict[tuple[str, str, int, Recipe], float] = {}

    def images(self, rows: int) -> torch.Tensor:
        """Return random images (rows, channels, height, width)."""
        noise = torch.rand(rows, *self.data.shape, device=self.device)
        return noise.contiguous(memory_format=torch.channels_last)

    def per_image(self, step: Callable[[int], None], rows: int) -> float:
        """Return the seconds of a step for one image, measured on up to `rows` of them at once."""
        step(1)
        single = self._seconds(step, 1)
        rows = max(1, min(rows, int(self.budget / max(single, 1e-6) / 2)))
        step(rows)
        return min(self._seconds(step, rows), self._seconds(step, rows)) / rows

    def _seconds(self, step: Callable[[int], None], rows: int) -> float:
        wait_for(self.device)
        started = time.perf_counter()
        step(rows)
        wait_for(self.device)
        return time.perf_counter() - started

    # --- seconds -----------------------------------------------------------------------------------------------------

    def training(self, settings: Mapping[str, Any], epochs: int) -> float:
        """Return the seconds of some epochs of a training."""
        trained = self.probe.module.requires_grad_(True)

        def step(rows: int) -> None:
            labels = torch.zeros(rows, dtype=torch.long, device=self.device)
            F.cross_entropy(trained(self.images(rows)), labels).backward()
            trained.zero_grad()

        seconds = self.per_image(step, settings["batch"]) if epochs else 0.0
        self.probe.module.requires_grad_(False)
        return epochs * (self.data.train * seconds + self.data.test * seconds / 3)

    def activations(self, settings: Mapping[str, Any]) -> float:
        """Return the seconds of the pass over all images."""
        return (self.data.train + self.data.test) * self._time_forward(settings["batch"])

    def moments(self, settings: Mapping[str, Any]) -> float:
        """Return the seconds of the pass over the training images."""
        return self.data.train * self._time_forward(settings["batch"])

    def ascent(self, layer: str, recipe: Mapping[str, Any], selection: Any, settings: Mapping[str, Any]) -> float:
        """Return the seconds of a layer's images by one method, for all targets and seeds."""
        batch = min(settings["batch"], self.layers[layer].units)
        batches = -(-self.targets(layer, selection) * len(settings["seeds"]) // batch)
        seconds, steps_done = 0.0, 0
        for stage, until in stages(self.layers[layer], Recipe(**recipe)):
            short = replace(stage, steps=2, points=2, start="grey")
            seconds += (until - steps_done) / 2 * self._time_ascent(layer, settings["readout"], batch, short)
            steps_done = until
        return batches * batch * seconds

    def _time_ascent(self, layer: str, readout: str, batch: int, recipe: Recipe) -> float:
        """Return the seconds of a short ascent for one image; substitutes' are alike, and those under other scales."""
        key = layer, readout, batch, recipe
        if key not in self.ascent_seconds:
            units = self.layers[layer].units
            scale = (torch.zeros(units, device=self.device), torch.ones(units, device=self.device))
            forward = passes(self.layers[layer], recipe, readout, scale)
            space = parametrize(recipe, self.data.shape[1:], self.device)

            def step(rows: int) -> None:
                climbs = [begin(space, row, image) for row, image in enumerate(self.images(rows))]
                list(ascend(forward, space, climbs, [0] * rows, rows))

            self.ascent_seconds[key] = self.per_image(step, batch)
        return self.ascent_seconds[key]

    def ablation(self, layer: str, selection: Any, settings: Mapping[str, Any]) -> float:
        """Return the seconds of the ablation of a layer's units with each clamp."""
        units = self.targets(layer, selection if settings["units"] == "targets" else "all")
        images = len(settings["clamps"]) * self._tested(settings)
        if "optimal" in settings["clamps"]:
            images += TRIED_CONSTANTS * min(FITTED_IMAGES, self.data.train)
        return units * images * self._time_suffix(layer, settings["batch"])

    def damage_bytes(self, layer: str, selection: Any, settings: Mapping[str, Any]) -> int:
        """Return the bytes of a layer's damage by class, at most: of both halves and of all images."""
        units = self.targets(layer, selection if settings["units"] == "targets" else "all")
        return 3 * 16 * units * len(settings["clamps"]) * self.data.classes

    def joint(self, layer: str, selection: Any, settings: Mapping[str, Any], ablation: Mapping[str, Any]) -> float:
        """Return the seconds of a layer's joint ablation by one method, at most: no two units share a set."""
        units = min(self.targets(layer, selection), settings["most_units"] or self.layers[layer].units)
        # A unit, its substitutes and each control set, without and with the unit.
        sets = 2 * units * (2 + settings["controls"])
        return sets * self._tested(ablation) * self._time_suffix(layer, ablation["batch"])

    def replacement(
        self, layer: str, selection: Any, settings: Mapping[str, Any], ablation: Mapping[str, Any]
    ) -> float:
        """Return the seconds of the replacement of a layer's units by one method, at most."""
        units = min(self.targets(layer, selection), settings["most_units"] or self.layers[layer].units)
        # The mean clamp; and for each size the substitutes, the control sets and two rivals.
        sets = units * (1 + len(SIZES) * (3 + CONTROLS))
        return sets * self._tested(ablation) * self._time_suffix(layer, ablation["batch"])

    def gradients(self, layer: str, settings: Mapping[str, Any], ablation: Mapping[str, Any]) -> float:
        """Return the seconds of a layer's first-order effects and integrated gradients."""
        layer_cut = self.layers[layer].cut(at_activation=True)

        def step(rows: int) -> None:
            with torch.no_grad():
                activation, _, *live = layer_cut.prefix(self.images(rows))
            point = activation.requires_grad_(True)
            torch.autograd.grad(layer_cut.suffix(point, *live).sum(), point, allow_unused=True)

        return (settings["nodes"] + 1) * self._tested(ablation) * self.per_image(step, ablation["batch"])

    def shapley(self, layer: str, settings: Mapping[str, Any], ablation: Mapping[str, Any]) -> float:
        """Return the seconds of a layer's Shapley values, at most: no order ends early."""
        sets = settings["permutations"] * (self.layers[layer].units - 1)
        return sets * self._tested(settings) * self._time_suffix(layer, ablation["batch"])

    def cumulative(self, layer: str, methods: int, settings: Mapping[str, Any], ablation: Mapping[str, Any]) -> float:
        """Return the seconds in which ever more units are removed: of a layer, or of all where none is named."""
        batch = ablation["batch"]
        per_pass = self._time_suffix(layer, batch) if layer else self._time_forward(batch)
        by_method = sum(score != "selectivity" for score in settings["scores"])
        scores = methods * by_method + ("selectivity" in settings["scores"])
        passes = (len(DIRECTIONS) * scores + settings["orders"]) * settings["points"] * len(settings["clamps"])
        return passes * self._tested(settings if settings["images"] else ablation) * per_pass

    def scale(
        self,
        layer: str,
        recipes: Mapping[str, Any],
        selection: Any,
        settings: Mapping[str, Any],
        images: Mapping[str, Any],
    ) -> float:
        """Return the seconds of a layer's rescaling: stored images by each draw, and some that are made anew, twice."""
        stored = len(recipes) * self.targets(layer, selection) * len(images["seeds"])
        image_passes = (settings["draws"] + 1) * (stored + min(self.data.test, settings["images"]))
        seconds = image_passes * self._time_forward(images["batch"])
        for recipe in recipes_to_remake(recipes, settings["steps"]).values():
            seconds += 2 * self.ascent(
                layer, asdict(recipe), settings["units"], {**images, "seeds": images["seeds"][:1]}
            )
        return seconds

    def planted(
        self, layer: str, recipe: Mapping[str, Any], settings: Mapping[str, Any], images: Mapping[str, Any], batch: int
    ) -> float:
        """Return the seconds of a layer's planted copies, at most: search, images, statistics and replacement.

        Args:
            layer: Name of the layer.
            recipe: The method by which images are generated.
            settings: Settings of the copies.
            images: Settings of the images.
            batch: Images at a time in all other passes.
        """
        units, levels = min(settings["units"], self.layers[layer].units), len(settings["correlations"])
        noisy = sum(level < 1 for level in settings["correlations"])
        train, test = min(self.data.train, settings["images"]), self._tested({"images": settings["test_images"]})
        # A search takes a pass for moments, one for all sections, and one for each interpolation.
        passes = train * ((2 + ROUNDS) * bool(noisy) + levels) + 2 * levels * test
        seconds = passes * self._time_forward(batch)
        seconds += noisy * (SECTIONS + ROUNDS) * train * self._turning(layer, units, batch)
        one_seed = {**images, "seeds": images["seeds"][:1]}
        seconds += 2 * levels * self.ascent(layer, recipe, {"sample": units, "seed": 0}, one_seed)
        return seconds + levels * units * (1 + CONTROLS) * test * self._time_suffix(layer, batch)

    def _turning(self, layer: str, units: int, batch: int) -> float:
        """Return the seconds of evaluating noisy copies of some units at one angle, for one image."""
        size = units * int(np.prod(self.layers[layer].map))

        def step(rows: int) -> None:
            values = torch.ones(rows, size, device=self.device)
            copies = torch.addcmul(values, values, values).relu_()
            for products in (copies, copies * copies, values * copies):
                products.sum(1)

        return self.per_image(step, batch)

    def predictors(self, layers: Sequence[str]) -> float:
        """Return the seconds of the regressions of each unit on the others of its layer, on either half of the images.

        Their matrices take images x units^2 and, to be inverted, units^3 operations.
        """
        counts = [self.layers[layer].units for layer in layers]
        return 2 * self._regressing * sum(units**2 * (self.data.test / 2 + units) for units in counts)

    @cached_property
    def _regressing(self) -> float:
        """The seconds of one operation of the regressions, measured on few units and images."""
        images, units = 400, 64
        values = np.random.default_rng(0).random((images, units))
        # The first call gets libraries going.
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            redundancy(values)
            seconds.append(time.perf_counter() - started)
        return min(seconds) / (units**2 * (images + units))

    def _tested(self, settings: Mapping[str, Any]) -> int:
        return min(self.data.test, settings["images"] or self.data.test)

    def _time_suffix(self, layer: str, batch: int) -> float:
        """Return the seconds from a layer's activation to the logits, for one image."""
        if layer not in self.suffix_seconds:
            cut = self.layers[layer].cut()
            prefix_outputs: dict[int, tuple[torch.Tensor, ...]] = {}

            def step(rows: int) -> None:
                with torch.no_grad():
                    if rows not in prefix_outputs:
                        prefix_outputs[rows] = cut.prefix(self.images(rows))
                    cut.suffix(*prefix_outputs[rows][1:])

            self.suffix_seconds[layer] = self.per_image(step, batch)
        return self.suffix_seconds[layer]

    def _time_forward(self, batch: int) -> float:
        """Return the seconds of a forward pass, for one image."""
        if batch not in self.forward_seconds:

            def step(rows: int) -> None:
                with torch.no_grad():
                    self.probe(self.images(rows))

            self.forward_seconds[batch] = self.per_image(step, batch)
        return self.forward_seconds[batch]

    # --- bytes -------------------------------------------------------------------------------------------------------

    def targets(self, layer: str, selection: Any) -> int:
        """Return how many units of a layer are targets."""
        return len(select_units(selection, self.layers[layer].units))

    def substitutes(self, layer: str, selection: Any) -> dict[str, int]:
        """Return as many units as can be substitutes of targets and no targets themselves: an upper bound."""
        targets = self.targets(layer, selection)
        return {"sample": min(MAX_SUBSTITUTES * targets, self.layers[layer].units - targets), "seed": 0}

    def checkpoint_bytes(self) -> int:
        """Return the size of the checkpoint."""
        return sum(value.numel() * value.element_size() for value in self.probe.module.state_dict().values())

    def activations_bytes(self, layers: list[str]) -> int:
        """Return the size of activations.h5."""
        units = sum(self.layers[layer].units for layer in layers)
        return units * (4 * self.data.test + 8 * (self.data.classes + 5))

    def scratch_bytes(self, layers: list[str]) -> int:
        """Return the size of what is kept of the training images while activations.h5 is made."""
        return 4 * self.data.train * sum(self.layers[layer].units for layer in layers)

    def images_bytes(self, layer: str, recipe: Mapping[str, Any], selection: Any, settings: Mapping[str, Any]) -> int:
        """Return the size of a layer's images by one method."""
        rows = self.targets(layer, selection) * len(settings["seeds"])
        pixels = int(np.prod(self.data.shape)) * (1 if recipe["clamp"] else 4)
        return rows * (pixels + 3 * 4 * self.layers[layer].units + 4 * recipe["points"] + 4)


def seconds_of_start(torch_jobs: int, other_jobs: int) -> float:
    """Return the seconds that programs need before they work, mostly for importing PyTorch."""
    return 2.0 * torch_jobs + 0.7 * other_jobs
