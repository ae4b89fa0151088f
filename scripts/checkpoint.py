"""Bring a network into a checkpoint: train it, or take given weights; fit a new head where the config asks for one."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unitscope import console, devices, preprocessing
from unitscope.artifacts import FORMAT_VERSION, Scratch, sha256_of, write_json
from unitscope.datasets import Dataset, open_dataset
from unitscope.errors import UserError
from unitscope.networks import (
    accept_pixels,
    build,
    classifier,
    load_weights,
    output_names,
    outputs,
    read_program,
    read_state_dict,
    save_checkpoint,
)
from unitscope.sources import timm_weights, torchvision_weights
from unitscope.training import channel_statistics, evaluate, fit_linear_head, train


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = console.parser(__doc__)
    result.add_argument("--dataset", type=Path, nargs="?", help="the data set (.h5), if the network has one")
    result.add_argument("--settings", type=json.loads, required=True, help="the network's settings, as JSON")
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
    if not arguments.dataset:
        module, description = given_network(arguments.settings, None)
        finish(arguments, module, description, {})
        return
    with open_dataset(arguments.dataset) as dataset:
        checksum = sha256_of(arguments.dataset)
        training = {**arguments.settings, "training": {**(arguments.settings["training"] or {}), "stop_after": None}}
        files = [sha256_of(file) for file in arguments.files]
        scratch = Scratch(arguments.scratch, [training, checksum, device.type, arguments.code, files])
        if arguments.settings["weights"] is None:
            module, description = new_network(arguments.settings, dataset)
            module.to(device)
            devices.warn_of_slow_bfloat16(device, arguments.settings["training"]["precision"])
            history = train(
                module, dataset, arguments.settings["training"], arguments.settings["seed"], scratch, device
            )
        else:
            module, description = given_network(arguments.settings, dataset)
            for line in preprocessing.differences(dataset.settings, preprocessing.transforms_of(arguments.settings)):
                console.log.warning(line)
            module.to(device)
            history = []
            if head := arguments.settings["head"]:
                fit_linear_head(module, classifier(module, dataset.shape), dataset, head["weight_decay"], device)
        record: dict[str, Any] = {"dataset_sha256": checksum, "history": history}
        if dataset.classes:
            if len(dataset.classes) != len(description["classes"]):
                raise UserError(
                    f"The data set {arguments.dataset} has {len(dataset.classes)} classes, the weights of "
                    f"{arguments.settings['model']} have {len(description['classes'])}. Give the network "
                    "head: {fit: linear}, or a data set with its own classes."
                )
            record["test"] = evaluate(module, dataset, "test", device)
        finish(arguments, module, description, record)
        if not arguments.keep:
            scratch.clear()


def describe(settings: dict, shape: list[int], mean: list[float], std: list[float], classes: list[str]) -> dict:
    """Return all that is needed to rebuild the network."""
    chosen = {key: settings[key] for key in ("source", "model", "options", "head", "program") if key in settings}
    return {**chosen, "input": list(shape), "mean": mean, "std": std, "classes": classes}


def new_network(settings: dict, dataset: Dataset) -> tuple[nn.Module, dict[str, Any]]:
    """Return an untrained network for a data set."""
    if not dataset.classes:
        raise UserError("The data set has no classes, so no network can be trained on it. Give the network weights.")
    mean, std = normalization(settings) or channel_statistics(dataset)
    module = normalized(build(settings, dataset.shape, len(dataset.classes)), dataset.shape, mean, std)
    return module, describe(settings, dataset.shape, mean, std, dataset.classes)


def given_network(settings: dict, dataset: Dataset | None) -> tuple[nn.Module, dict[str, Any]]:
    """Return a network with given weights; its head is still to be fitted where the config asks for one."""
    shape = settings["input"] if dataset is None else dataset.shape
    settings, state, classes, given, origin = given_weights(settings)
    scales = normalization(settings) or given
    if scales is None:
        raise UserError(
            f"networks: the weights {origin} come without the normalization that they were trained with. Give "
            "normalization: {mean: [...], std: [...]}, of pixels in 0 to 1."
        )
    if settings["head"] is not None:
        if dataset is None or not dataset.classes:
            raise UserError(f"head: {{fit: linear}} for {settings['model']} needs a data set with classes.")
        classes = dataset.classes
    elif not classes:
        classes = dataset.classes if dataset else []
        classes = classes or unnamed(settings, shape, state)
    module = build(settings, shape, len(classes))
    fitted = ""
    if settings["head"] is not None:
        fitted = f"{classifier(module, shape)}."
        kept = "features." if settings["head"]["replaces"] == "classifier" else ""
        state = {key: value for key, value in state.items() if key.startswith(kept) and not key.startswith(fitted)}
    # An exported program has brought its weights along.
    if settings["source"] != "exported":
        load_weights(module, state, origin, missing=fitted)
    return normalized(module, shape, *scales), describe(settings, shape, *scales, classes)


def given_weights(
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
    state = read_state_dict(path, weights["sha256"], weights["strip_prefix"])
    return settings, state, [], None, str(path)


def unnamed(settings: dict, shape: Sequence[int], state: dict[str, Tensor]) -> list[str]:
    """Return names for classes that nobody has named: the numbers of the outputs."""
    if settings["source"] == "exported":
        return [str(number) for number in range(outputs(build(settings, shape, 1), shape))]
    return output_names(build(settings, shape, 1), state)


def normalization(settings: dict) -> tuple[list[float], list[float]] | None:
    """Return mean and standard deviation of the channels, where the config gives them."""
    given = settings["normalization"]
    return (given["mean"], given["std"]) if given else None


def normalized(module: nn.Module, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """Return the network that takes pixels in [0, 1], if mean and standard deviation can be those of its channels."""
    if not len(mean) == len(std) == shape[0] or min(std) <= 0:
        raise UserError(
            f"networks.NAME.normalization: mean is {list(mean)}, std is {list(std)}; the images have {shape[0]} "
            "channels and need a mean and a standard deviation above 0 for each."
        )
    return accept_pixels(module, mean, std)


def finish(arguments: argparse.Namespace, module: nn.Module, description: dict, record: dict) -> None:
    """Write the checkpoint, then the record with its checksum."""
    save_checkpoint(arguments.output, module, description)
    test = record.get("test", {})
    console.log.info("test accuracy %s, loss %s", test.get("accuracy"), test.get("loss"))
    write_json(
        arguments.record,
        {
            "format_version": FORMAT_VERSION,
            "checkpoint_sha256": sha256_of(arguments.output),
            "settings": arguments.settings,
            **record,
        },
    )


if __name__ == "__main__":
    console.run(parser(), main)
