"""List the layers of an experiment: units, shape of the map, depth, kind and sign. Fails early on a wrong name."""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from unitscope.data.datasets import Dataset, open_dataset
from unitscope.networks.building import build, freeze, normalized
from unitscope.networks.checkpoints import example_images
from unitscope.networks.network_settings import NetworkJob
from unitscope.networks.normalization import OnPixels
from unitscope.probing.faithful import check_repeats, faithful
from unitscope.probing.layer_names import refuse_unknown_layers
from unitscope.probing.layers import left_out, taps
from unitscope.probing.opening import load_checkpoint
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
        module, description = load_checkpoint(arguments.checkpoint, python=arguments.python)
        shape = description["input"]
    else:
        with open_dataset(arguments.dataset) as dataset:
            shape = dataset.shape
            module = untrained(as_mapping(NetworkJob, arguments.network), dataset)
    known = {tap.layer: tap for tap in taps(module, shape)}
    reasons = left_out(module, list(known.values()))
    refuse_unknown_layers(arguments.layers, known, arguments.network.model, arguments.where, reasons)
    for path, reason in reasons.items():
        console.log.info("%s is left out: %s", path, reason)
    chosen = [asdict(tap) for tap in known.values() if tap.layer in arguments.layers]
    write_json(arguments.output, chosen)


def untrained(settings: dict, dataset: Dataset) -> OnPixels:
    """Return the network before its training, checked as it will be once it is trained."""
    scales = [0.5] * dataset.shape[0], [0.25] * dataset.shape[0]
    network = build(settings, dataset.shape, len(settings["classes"] or dataset.classes))
    module = freeze(normalized(network, dataset.shape, scales, settings, dataset.classes))
    images = devices.pixels(example_images(dataset.examples(), dataset.shape), torch.device("cpu"))
    check_repeats(module, images, settings["allow"])
    faithful(module, images)
    return module


if __name__ == "__main__":
    program.run(parser(), main)
