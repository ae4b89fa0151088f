"""The preprocessing of weights against that of a data set, and the mode that a network asks for."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from PIL import Image
from real_images import FOLDER, ROOT, collected
from torch import nn
from torchvision import models
from torchvision.transforms.functional import pil_to_tensor

from unitscope.data.datasets import open_dataset, write_dataset
from unitscope.data.decoding import Decoder
from unitscope.data.preprocessing import differences, of_timm, of_torchvision, transforms_of
from unitscope.errors import UserError
from unitscope.networks.building import build, normalized
from unitscope.networks.weights import load_weights
from unitscope.storage.records import sha256_of

RESNET = models.ResNet18_Weights.IMAGENET1K_V1.transforms()
EFFICIENT = models.EfficientNet_B0_Weights.IMAGENET1K_V1.transforms()
"""Bicubic, at 256 and 224."""
MATCHING = {**FOLDER, "resize": 256, "crop": 224, "mode": "RGB", "interpolation": "bilinear"}


def test_matching_preprocessing_has_no_differences():
    assert differences(MATCHING, RESNET) == []
    # Artifacts of earlier versions lack the interpolation, and were resized by bilinear.
    assert differences({key: value for key, value in MATCHING.items() if key != "interpolation"}, RESNET) == []
    assert differences({**MATCHING, "interpolation": "bicubic"}, EFFICIENT) == []


@pytest.mark.parametrize(
    ("changes", "transforms", "settings"),
    [
        ({}, EFFICIENT, ["interpolation: bicubic"]),
        ({"resize": None, "crop": None}, RESNET, ["resize: 256", "crop: 224"]),
        ({"resize": 232, "mode": "L"}, RESNET, ["resize: 256", "mode: RGB"]),
        ({"crop": 225}, models.ResNet18_Weights.DEFAULT.transforms(crop_size=128, resize_size=144), None),
    ],
)
def test_each_difference_is_reported_with_both_values(changes, transforms, settings):
    dataset = {**MATCHING, **changes}
    sentences = differences(dataset, transforms)
    for line, setting in zip(sentences, settings or ["resize: 144", "crop: 128"], strict=True):
        name = setting.partition(":")[0]
        dataset_value = "null" if dataset[name] is None else dataset[name]
        assert line.startswith(f"datasets.NAME.{name} is {dataset_value}; the weights were evaluated with {setting}.")


@pytest.mark.parametrize("weights", ["ResNet50_Weights", "EfficientNet_B3_Weights", "ViT_B_16_Weights"])
def test_the_settings_of_a_preset_give_its_pixels(tmp_path, weights):
    pixels = np.random.default_rng(0).integers(0, 256, (211, 317, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    preset = getattr(models, weights).IMAGENET1K_V1.transforms()
    decoded = Decoder.of(tmp_path, of_torchvision(preset))(["x.png"])[0]
    preset.mean, preset.std = [0] * 3, [1] * 3
    with Image.open(tmp_path / "x.png") as image:
        expected = preset(image)
    assert torch.equal(torch.round(expected * 255).to(torch.uint8), pil_to_tensor(Image.fromarray(decoded)))


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vit_base_patch16_224.augreg_in21k", "convnext_tiny.in12k"])
def test_the_settings_of_timms_configs_give_the_pixels_of_its_transforms(tmp_path, name):
    timm = pytest.importorskip("timm")
    from timm.data import create_transform, resolve_data_config

    cfg = timm.get_pretrained_cfg(name).to_dict()
    pixels = np.random.default_rng(0).integers(0, 256, (211, 317, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    decoded = Decoder.of(tmp_path, of_timm(cfg))(["x.png"])[0]
    transform = create_transform(**resolve_data_config(pretrained_cfg=cfg), normalize=False)
    with Image.open(tmp_path / "x.png") as image:
        assert torch.equal(transform(image), pil_to_tensor(Image.fromarray(decoded)))
    assert differences({**MATCHING, **of_timm(cfg)}, cfg) == []


def test_transforms_without_a_setting_are_reported():
    cfg = {"input_size": (3, 224, 224), "crop_pct": 0.9, "crop_mode": "squash", "interpolation": "bilinear"}
    (line,) = differences(MATCHING, cfg)
    assert "crop_mode 'squash', which no setting" in line


def test_data_sets_without_preprocessing_have_no_differences():
    assert differences({"source": "arrays", "path": "x.npz"}, RESNET) == []
    assert differences({**MATCHING, "resize": 9}, {}) == []


def test_weights_by_name_bring_their_transforms():
    weights = {"torchvision": "IMAGENET1K_V1"}
    assert of_torchvision(transforms_of({"model": "efficientnet_b0", "weights": weights})) == {
        **{"resize": 256, "crop": 224, "interpolation": "bicubic", "mode": "RGB"}
    }
    assert transforms_of({"model": "mlp", "weights": {"file": "x.pt"}}) == {}
    assert transforms_of({"model": "mlp", "weights": None}) == {}


def test_the_checkpoint_job_warns_of_the_differences(tmp_path, monkeypatch, caplog):
    for number in range(4):
        Image.new("RGB", (70, 64), (number,) * 3).save(tmp_path / f"{number}.png")
    dataset = {**FOLDER, "path": str(tmp_path), "store": "images", "resize": 64, "crop": 64, "interpolation": "bicubic"}
    write_dataset(tmp_path / "x.h5", collected(dataset))
    spec = importlib.util.spec_from_file_location("checkpoint", ROOT / "scripts/data/checkpoint.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    # There is no network to fetch the trained ones.
    state = models.squeezenet1_1(num_classes=3).state_dict()
    monkeypatch.setattr(script, "torchvision_weights", lambda *_: (state, [0.5] * 3, [0.5] * 3, ["a", "b", "c"]))
    settings = {"source": "torchvision", "model": "squeezenet1_1", "weights": {"torchvision": "IMAGENET1K_V1"}}
    settings |= {"options": {}, "head": None, "normalization": None, "training": None, "seed": 0}
    settings |= {"classes": None, "output": None, "outputs": None, "allow": []}
    paths = ["--dataset", "x.h5", "--output", "x.pt", "--record", "x.json", "--scratch", "scratch"]
    monkeypatch.chdir(tmp_path)
    script.main(script.parser().parse_args([*paths, "--device", "cpu", "--settings", json.dumps(settings)]))
    warned = [message for message in caplog.messages if message.startswith("datasets.")]
    names = ("resize", "crop", "interpolation")
    assert [line.split()[0] for line in warned] == [f"datasets.NAME.{name}" for name in names]


@pytest.mark.parametrize("key", ["classes", "class_to_idx", ""])
def test_checkpoint_job_matches_class_names_of_file_and_data_set(tmp_path, monkeypatch, caplog, key):
    for number, name in enumerate(("a", "b", "c") * 4):
        (tmp_path / "x" / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 6), 20 * number).save(tmp_path / "x" / name / f"{number}.png")
    dataset = {**FOLDER, "path": str(tmp_path / "x"), "store": "images", "resize": None, "crop": None, "mode": "L"}
    write_dataset(tmp_path / "x.h5", collected(dataset))
    spec = importlib.util.spec_from_file_location("checkpoint", ROOT / "scripts/data/checkpoint.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    # The outputs of the network are b, c and a.
    settings = {"source": "built_in", "model": "mlp", "options": {"widths": [4]}, "head": None, "training": None}
    settings |= {"normalization": {"mean": [0.5], "std": [0.5]}, "seed": 0, "files": [], "allow": []}
    settings |= {"classes": None, "output": None, "outputs": None}
    class_entries = {"classes": {"classes": [*"bca"]}, "class_to_idx": {"class_to_idx": {"b": 0, "c": 1, "a": 2}}}.get(
        key, {}
    )
    state = build(settings, [1, 6, 6], 3).state_dict()
    torch.save({"state_dict": state, **class_entries}, tmp_path / "weights.pt")
    settings["weights"] = {"file": "weights.pt", "sha256": sha256_of(tmp_path / "weights.pt")}
    monkeypatch.chdir(tmp_path)
    with open_dataset(tmp_path / "x.h5") as data:
        module, description = script.pretrained_network(settings, data)
        images = torch.from_numpy(data.images("test").transpose(0, 3, 1, 2)) / 255
    plain = build(settings, [1, 6, 6], 3)
    plain.load_state_dict(state)
    logits = plain(images * 2 - 1)
    torch.testing.assert_close(module.eval()(images), logits[:, [2, 0, 1]] if key else logits)
    assert description["classes"] == [*"abc"]


# --- channels --------------------------------------------------------------------------------------------------------


def network(channels: int = 1, classes: int = 2) -> nn.Module:
    """Return a network of the user's own that takes images of so many channels."""
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(4 * 36, classes))


def opened(settings, shape):
    """Return a network of two classes that takes pixels."""
    return normalized(build(settings, shape, 2), shape, ([0.5] * shape[0], [0.5] * shape[0]), settings, ["a", "b"])


@pytest.mark.parametrize(("takes", "has", "mode"), [(1, 3, "L"), (3, 1, "RGB")])
def test_wrong_channel_count_error_names_the_mode_setting(takes, has, mode):
    settings = {"source": "python", "model": f"{__name__}:network", "options": {"channels": takes}, "seed": 0}
    with pytest.raises(UserError, match=rf"It accepts {takes} channels?: set datasets\.NAME\.mode: {mode}\."):
        opened(settings, [has, 8, 8])
    with pytest.raises(UserError, match="does not accept 2 images") as error:
        opened(settings, [has, 9, 9])
    assert "mode" not in str(error.value)
    with pytest.raises(UserError, match=rf"grey|colour.*set datasets\.NAME\.mode: {mode}\."):
        load_weights(network(has), network(takes).state_dict(), "x.pt")
