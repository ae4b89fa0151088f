"""Bring a network into a checkpoint: train it, or take given weights; fit a new head where the config asks for one."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unitscope.data import preprocessing
from unitscope.data.datasets import Dataset, open_dataset
from unitscope.errors import UserError
from unitscope.networks.building import build, classifier, normalized, output_count, undone
from unitscope.networks.checkpoints import check_rebuilt, save_checkpoint
from unitscope.networks.examples import example_images
from unitscope.networks.network_settings import NetworkJob
from unitscope.networks.normalization import OnPixels, outputs_of, warn_of_probabilities
from unitscope.networks.outputs import named_outputs
from unitscope.networks.sources import options_of, timm_weights, torchvision_weights
from unitscope.networks.state_dicts import aligned, output_names, shared_names, with_versions, without
from unitscope.networks.training import chance, channel_statistics, evaluate, fit_linear_head, train
from unitscope.networks.weight_files import read_program, read_weights
from unitscope.networks.weights import fits, load_weights
from unitscope.probing.faithful import verify
from unitscope.probing.repeats import check_repeats
from unitscope.runtime import console, devices
from unitscope.settings import as_mapping
from unitscope.storage.records import FORMAT_VERSION, sha256_of, write_json
from unitscope.storage.scratch import Scratch
from unitscope.workflow import program


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = program.parser(__doc__)
    result.add_argument("--dataset", type=Path, nargs="?", help="the data set (.h5), if the network has one")
    program.add_settings(result, NetworkJob)
    program.add_network_entry(result)
    result.add_argument("--files", type=Path, nargs="*", default=[], help="files that your function reads, if any")
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    result.add_argument(
        "--python", nargs="?", const="", default="", help="your function that makes the network, if any"
    )
    result.add_argument("--scratch", type=Path, help="folder for finished epochs, so that a rerun goes on from them")
    result.add_argument("--keep", action="store_true", help="leave them there: a later checkpoint goes on from them")
    result.add_argument("--output", type=Path, required=True, help="where the checkpoint goes (.pt)")
    result.add_argument("--record", type=Path, required=True, help="where the training record goes (.json)")
    return result


def main(arguments: argparse.Namespace) -> None:
    """Make the network, measure it, and write checkpoint and record."""
    device = devices.pick(arguments.device)
    settings = as_mapping(NetworkJob, arguments.settings)
    if not arguments.dataset:
        module, description = pretrained_network(settings, None)
        hold_against_itself(module.to(device), description, None, settings)
        finish(arguments, settings, module, description, {})
        return
    with open_dataset(arguments.dataset) as dataset:
        checksum = sha256_of(arguments.dataset)
        training = {**settings, "training": {**(settings["training"] or {}), "stop_after": None}}
        files = [sha256_of(file) for file in arguments.files]
        scratch = Scratch(arguments.scratch, [training, checksum, device.type, arguments.code, files])
        pretrained = settings["weights"] is not None
        module, description = (pretrained_network if pretrained else new_network)(settings, dataset)
        hold_against_itself(module.to(device), description, dataset, settings)
        history = []
        if not pretrained:
            devices.warn_of_slow_bfloat16(device, settings["training"]["precision"])
            history = train(module, dataset, settings["training"], settings["seed"], scratch, device)
        else:
            for line in preprocessing.differences(dataset.settings, preprocessing.transforms_of(settings)):
                console.log.warning(line)
            if head := settings["head"]:
                fit_linear_head(module, classifier(module, dataset.shape), dataset, head["weight_decay"], device)
        record: dict[str, Any] = {"dataset_sha256": checksum, "history": history}
        if dataset.classes:
            record["test"] = evaluate(module, dataset, "test", device)
            if pretrained or history:
                warn_of_chance(record["test"]["accuracy"], dataset)
        finish(arguments, settings, module, description, record)
        if not arguments.keep:
            scratch.clear()


def hold_against_itself(module: OnPixels, description: dict, dataset: Dataset | None, settings: dict) -> None:
    """Choose images on which forms of the network are held against it, here first, before anything is computed."""
    shape = description["input"]
    examples = example_images(np.empty(0) if dataset is None else dataset.examples(), shape)
    description["examples"] = torch.from_numpy(examples)
    images = devices.pixels(examples, next(module.parameters()).device)
    python = settings["source"] == "python"
    with undone(module, settings["weights"] is not None) if python else nullcontext():
        check_repeats(module.eval(), images, settings["allow"])
        verify(module, images)
        hold_against_rebuilt(module, description, settings)
        if settings["outputs"] is None:
            warn_of_probabilities(module, images)


def hold_against_rebuilt(module: OnPixels, description: dict, settings: dict) -> None:
    """Refuse a network of the user's that its checkpoint would not bring back."""
    if settings["source"] == "python" and "randomness" not in settings["allow"]:
        check_rebuilt(module, description)


def warn_of_chance(accuracy: float, dataset: Dataset) -> None:
    """Warn where a network does no better than one that has seen nothing."""
    share, margin = chance(dataset.labels("test"))
    if accuracy <= share + margin:
        console.log.warning(
            "The accuracy of the network on the test split is %.3f, no better than chance (%.3f). Its classes may be "
            "in another order (networks.NAME.classes names those of its outputs), or its normalization another.",
            accuracy,
            share,
        )


def describe(settings: dict, shape: list[int], scales: Any, classes: list[str], module: OnPixels, count: int) -> dict:
    """Return all that is needed to rebuild the network, which is built for `count` classes."""
    architecture = {key: settings[key] for key in ("source", "model", "options", "head", "program") if key in settings}
    mean, std = scales
    outputs = outputs_of(module).described()
    return {
        **architecture,
        "input": list(shape),
        "mean": mean,
        "std": std,
        "classes": classes,
        "built_for": count,
        "outputs": outputs,
    }


def new_network(settings: dict, dataset: Dataset) -> tuple[OnPixels, dict[str, Any]]:
    """Return an untrained network for a data set."""
    if not dataset.classes:
        raise UserError("The data set has no classes, so no network can be trained on it. Give the network weights.")
    scales = normalization(settings) or channel_statistics(dataset)
    count = len(settings["classes"] or dataset.classes)
    network = build(settings, dataset.shape, count)
    module = normalized(network, dataset.shape, scales, settings, dataset.classes)
    return module, describe(settings, dataset.shape, scales, dataset.classes, module, count)


def pretrained_network(settings: dict, dataset: Dataset | None) -> tuple[OnPixels, dict[str, Any]]:
    """Return a network with given weights; its head is still to be fitted where the config asks for one."""
    shape = settings["input"] if dataset is None else dataset.shape
    dataset_classes = [] if dataset is None else dataset.classes
    settings, state, names, pretrained_scales, origin = pretrained_weights(settings)
    scales = normalization(settings) or pretrained_scales
    if scales is None:
        raise UserError(
            f"networks.NAME: the weights {origin} come without the normalization that they were trained with. Give "
            "normalization: {mean: [...], std: [...]}, of pixels in 0 to 1."
        )
    if settings["head"] is not None:
        if not dataset_classes:
            raise UserError(f"head: {{fit: linear}} for {settings['model']} needs a data set with classes.")
        network, count = with_new_head(settings, shape, state, origin, dataset_classes), len(dataset_classes)
        module = normalized(network, shape, scales, {**settings, "classes": None}, dataset_classes)
        return module, describe(settings, shape, scales, dataset_classes, module, count)
    network, count = with_pretrained_head(settings, shape, state, origin, names, dataset_classes)
    if len(names) != count:
        # Of another network than the file's.
        names = []
    named = settings["classes"] or named_outputs(names, dataset_classes, origin)
    module = normalized(network, shape, scales, {**settings, "classes": named}, dataset_classes)
    # The weights' own names where the data set's are numbers, say.
    alike = len(names) == len(dataset_classes) and outputs_of(module).columns is None
    classes = (names if alike else dataset_classes) or names or named or [str(number) for number in range(count)]
    return module, describe(settings, shape, scales, classes, module, count)


def with_new_head(
    settings: dict, shape: Sequence[int], state: dict[str, Tensor], origin: str, classes: list[str]
) -> nn.Module:
    """Return a network whose weights are given but for the classifier."""
    network = build(settings, shape, len(classes))
    fitted = f"{classifier(network, shape)}."
    expected_keys = [key for key in network.state_dict() if not key.startswith(fitted)]
    if settings["source"] == "exported":
        return network
    state = renamed_state(network, state, expected_keys, origin, settings["weights"])
    kept_prefix = "features." if settings["head"]["replaces"] == "classifier" else ""
    values = {key: value for key, value in state.items() if key.startswith(kept_prefix) and not key.startswith(fitted)}
    load_weights(network, with_versions(values, state), origin, fitted, options_of(settings))
    return network


def with_pretrained_head(
    settings: dict,
    shape: Sequence[int],
    state: dict[str, Tensor],
    origin: str,
    names: list[str],
    dataset_classes: list[str],
) -> tuple[nn.Module, int]:
    """Return a network with given weights, and how many classes it was built for."""
    if settings["source"] == "exported":
        # It has brought its weights along.
        network = build(settings, shape, 1)
        return network, output_count(network, shape, settings)
    count = len(settings["classes"] or names or dataset_classes) or 1
    network = build(settings, shape, count)
    state = renamed_state(network, state, list(network.state_dict()), origin, settings["weights"])
    if not fits(network, state) and (output_size := len(output_names(network, state))):
        # Made for another number of outputs, such as one for two classes.
        network, count = build(settings, shape, output_size), output_size
    load_weights(network, state, origin, "", options_of(settings))
    return network, count


def renamed_state(
    network: nn.Module, state: dict[str, Tensor], expected_keys: list[str], origin: str, weights: dict
) -> dict[str, Tensor]:
    """Return a state dict under the network's names, without what the config ignores."""
    state = aligned(state, expected_keys, origin, weights.get("strip_prefix"), shared_names(network))
    return without(state, weights.get("ignore") or [], origin)


def pretrained_weights(
    settings: dict,
) -> tuple[dict, dict[str, Tensor], list[str], tuple[list[float], list[float]] | None, str]:
    """Return settings made complete, state dict, class names, normalization where they tell it, and their origin."""
    model, weights = settings["model"], settings["weights"]
    if weights.get("torchvision"):
        if model in ("googlenet", "inception_v3"):
            # Their weights were made for another normalization than torchvision states; the model undoes it.
            settings = {**settings, "options": {"transform_input": True, **settings["options"]}}
        state, mean, std, classes = torchvision_weights(model, weights["torchvision"])
        return settings, state, classes, (mean, std), f"torchvision's {weights['torchvision']}"
    if weights.get("timm"):
        state, mean, std, classes = timm_weights(model, weights["timm"], settings["options"])
        return settings, state, classes, (mean, std), f"timm's {weights['timm']}"
    path = Path(weights["file"])
    if settings["source"] == "exported":
        return {**settings, "program": read_program(weights)}, {}, [], None, str(path)
    state, names = read_weights(path, weights["sha256"], weights.get("key") or "")
    return settings, state, names, None, str(path)


def normalization(settings: dict) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation of the channels, where the config gives them."""
    channel_scales = settings["normalization"]
    return (channel_scales["mean"], channel_scales["std"]) if channel_scales else None


def finish(arguments: argparse.Namespace, settings: dict, module: nn.Module, description: dict, record: dict) -> None:
    """Write the checkpoint, then the record with its checksum."""
    hold_against_rebuilt(module.eval(), description, settings)
    save_checkpoint(arguments.output, module, description, "randomness" not in settings["allow"])
    test = record.get("test", {})
    console.log.info("test accuracy %s, loss %s", test.get("accuracy"), test.get("loss"))
    write_json(
        arguments.record,
        {
            "format_version": FORMAT_VERSION,
            "checkpoint_sha256": sha256_of(arguments.output),
            "settings": settings,
            **record,
        },
    )


if __name__ == "__main__":
    program.run(parser(), main)
