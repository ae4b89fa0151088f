"""List the layers of an experiment: units, shape of the map, depth, kind and sign. Fails early on a wrong name."""

import argparse
from pathlib import Path

import torch

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.networks.building import build, freeze, normalized
from unitscope.networks.examples import example_images
from unitscope.networks.network_settings import NetworkJob
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.probing.opening import open_checkpoint
from unitscope.probing.probe import Probe
from unitscope.probing.repeats import check_repeats
from unitscope.runtime import console, devices
from unitscope.settings import as_mapping
from unitscope.storage.records import write_json
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--dataset", type=Path, nargs="?", help="the network's data set (.h5), if it has one")
    result.add_argument("--checkpoint", type=Path, nargs="?", help="the network (.pt), where its weights are given")
    result.add_argument(
        "--python", nargs="?", const="", default="", help="your function that makes the network, if any"
    )
    program.add_settings(result, NetworkJob, "network")
    program.add_network_entry(result)
    result.add_argument("--layers", nargs="+", required=True, help="names of the layers")
    result.add_argument("--where", default="layers", help="key of the config that names them, for messages")
    result.add_argument("--output", type=Path, required=True, help="where the list goes (.json)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Look up the layers, on the untrained network where it is still to be trained."""
    if arguments.checkpoint:
        probe, _ = open_checkpoint(arguments.checkpoint, python=arguments.python)
    else:
        with open_dataset(arguments.dataset) as dataset:
            probe = untrained(as_mapping(NetworkJob, arguments.network), dataset)
    names = [layer.name for layer in probe]
    refuse_unknown_layers(arguments.layers, names, arguments.network.model, arguments.where, probe.left_out)
    for path, reason in probe.left_out.items():
        console.log.info("%s is left out: %s", path, reason)
    write_json(arguments.output, [layer.described() for layer in probe if layer.name in arguments.layers])


def untrained(settings: dict, dataset: Dataset) -> Probe:
    """Open the network before its training, checked as it will be once it is trained."""
    scales = [0.5] * dataset.shape[0], [0.25] * dataset.shape[0]
    network = build(settings, dataset.shape, len(settings["classes"] or dataset.classes))
    module = normalized(network, dataset.shape, scales, settings, dataset.classes)
    freeze(module)
    images = devices.pixels(example_images(dataset.examples(), dataset.shape), torch.device("cpu"))
    check_repeats(module, images, settings["allow"])
    return Probe.owning(module, images)


if __name__ == "__main__":
    program.run(parser(), main)
