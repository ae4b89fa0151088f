"""The preprocessing that weights were trained with, compared with that of a data set.

Settings and transforms in, sentences out; images are for `unitscope.data.decoding`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def differences(dataset: Mapping[str, Any], transforms: Any) -> list[str]:
    """Return one sentence for each setting in which a data set differs from the transforms of weights.

    Args:
        dataset: Settings of a data set, as its artifact holds them. Only folders of images are preprocessed: other data
            sets are as they are, and differ in nothing.
        transforms: torchvision's `weights.transforms()` (`ImageClassification`), or timm's `pretrained_cfg`.

    Returns:
        Nothing where pixels are the same, or where the transforms do not tell.
    """
    if dataset.get("source") != "image_folder":
        return []
    weight_settings = of_timm(transforms) if isinstance(transforms, Mapping) else of_torchvision(transforms)
    if dataset.get("resize") is None and weight_settings.get("resize") is None:
        weight_settings.pop("interpolation", None)
    applied = {"interpolation": "bilinear", **dataset}
    sentences = [
        f"datasets.NAME.{name} is {_written(applied.get(name))}; the weights were evaluated with {name}: {value}. Set "
        "it, unless the images are prepared otherwise."
        for name, value in weight_settings.items()
        if applied.get(name) != value and (applied.get(name), value) != ("auto", "RGB")
    ]
    if isinstance(transforms, Mapping) and (mode := transforms.get("crop_mode") or "center") != "center":
        sentences.append(
            f"The weights were evaluated with timm's crop_mode {mode!r}, which no setting of datasets.NAME gives: "
            "pixels of images that are not square differ."
        )
    return sentences


def of_torchvision(preset: Any) -> dict[str, Any]:
    """Return the settings of a data set that give the pixels of torchvision's `ImageClassification`."""
    sides = {"resize": getattr(preset, "resize_size", None), "crop": getattr(preset, "crop_size", None)}
    result: dict[str, Any] = {name: int(side[0]) for name, side in sides.items() if side is not None and len(side) == 1}
    if interpolation := getattr(preset, "interpolation", None):
        result["interpolation"] = str(interpolation.value)
    return {**result, **_mode(getattr(preset, "mean", ()))}


def of_timm(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a data set that give the pixels of timm's `transforms_imagenet_eval`."""
    size = cfg.get("input_size")
    result: dict[str, Any] = {}
    if size is not None and (cfg.get("crop_mode") or "center") == "center" and size[1] == size[2]:
        result = {"resize": math.floor(size[1] / (cfg.get("crop_pct") or 0.875)), "crop": size[1]}
    if cfg.get("interpolation") not in (None, "", "random"):
        result["interpolation"] = str(cfg["interpolation"])
    return {**result, **_mode(cfg.get("mean") or ())}


def _mode(mean: Any) -> dict[str, str]:
    """Return the mode of images with so many channels."""
    modes = {1: "L", 3: "RGB"}
    return {"mode": modes[len(mean)]} if len(mean) in modes else {}


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def transforms_of(settings: Mapping[str, Any]) -> Any:
    """Return the transforms that come with weights by name, for `differences`; empty for other weights.

    Args:
        settings: Of a network: `model`, and `weights` that torchvision or timm has.
    """
    weights = settings["weights"] or {}
    if weights.get("torchvision"):
        from torchvision import models

        return models.get_model_weights(settings["model"])[weights["torchvision"]].transforms()
    if weights.get("timm"):
        import timm

        cfg = timm.get_pretrained_cfg(f"{settings['model']}.{weights['timm']}")
        return cfg.to_dict() if cfg else {}
    return {}


# --- channels --------------------------------------------------------------------------------------------------------

OTHER_MODE = {1: (3, "RGB"), 3: (1, "L")}
"""For images of so many channels, those of the other mode, and its name."""


def mode_to_set(shape: Sequence[int], run: Callable[[Sequence[int]], Any]) -> str:
    """Return the sentence that names the mode of a data set whose images a network accepts; empty if there is none.

    Args:
        shape: (channels, height, width) of images that the network refuses.
        run: Runs the network on images of a shape; may raise anything.
    """
    channels, mode = OTHER_MODE.get(shape[0], (0, ""))
    if not mode:
        return ""
    try:
        run([channels, *shape[1:]])
    except Exception:
        # A network of the user's own may raise anything.
        return ""
    return f" It accepts {channels} channel{'s' * (channels > 1)}: set datasets.NAME.mode: {mode}."


def mode_of_weights(weights: Sequence[int], network: Sequence[int]) -> str:
    """Return the same sentence where a tensor of weights was made for images of the other mode.

    Args:
        weights: Its shape, (outputs, inputs, ...).
        network: The shape that the network expects.
    """
    if min(len(weights), len(network)) < 2 or (weights[0], *weights[2:]) != (network[0], *network[2:]):
        return ""
    ratio = {(1, 3): "L", (3, 1): "RGB"}
    modes = [
        mode
        for (weight_channels, network_channels), mode in ratio.items()
        if weight_channels * network[1] == network_channels * weights[1]
    ]
    return f" If the weights take {MODE_NAMES[modes[0]]} images, set datasets.NAME.mode: {modes[0]}." if modes else ""


MODE_NAMES = {"L": "grey", "RGB": "colour"}
