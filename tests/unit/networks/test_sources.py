"""Where architectures come from: timm, functions of one's own, and what is refused of either."""

import hashlib
import sys

import pytest
import torch
from networks_by_hand import opened
from real_images import go_offline
from torch import nn

from unitscope.errors import UserError
from unitscope.networks.building import accept_pixels, build, freeze, normalized
from unitscope.networks.checkpoints import save_checkpoint
from unitscope.networks.sources import timm_weights, torchvision_weights
from unitscope.probing.opening import open_checkpoint

COLOUR = (3, 64, 64)


def settings(source, model, **options):
    return {"source": source, "model": model, "options": options, "head": None, "seed": 0}


def kept(module, path, network, shape, classes):
    """Save a network as a checkpoint."""
    description = {key: network[key] for key in ("source", "model", "options", "head")}
    names = [str(number) for number in range(classes)]
    scale = {"mean": [0.5] * shape[0], "std": [0.25] * shape[0]}
    save_checkpoint(path, module, {**description, **scale, "input": list(shape), "classes": names})
    return freeze(accept_pixels(module, **scale))


# --- timm ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
)
def test_a_network_of_timm_is_rebuilt_and_cut(tmp_path, model):
    options = {"img_size": 64} if "patch" in model else {}
    network = settings("timm", model, **options)
    saved = kept(build(network, COLOUR, 5), tmp_path / "x.pt", network, COLOUR, 5)
    probe, _ = open_checkpoint(tmp_path / "x.pt")
    images = torch.rand(2, *COLOUR)
    expected = saved(images)
    assert torch.equal(probe(images), expected) and expected.shape == (2, 5)
    for layer in (probe.layers[0], probe.layers[len(probe) // 2], probe.layers[-1]):
        cut = layer.cut()
        torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), expected)
        assert layer.prefix("mean")(images)[1].shape == (2, layer.units)


@pytest.mark.parametrize(
    ("model", "layer", "norm", "signed"),
    [
        ("mobilenetv3_small_050", "blocks.1.0.conv_pw", "blocks.1.0.bn1", False),
        ("mobilenetv3_small_050", "conv_stem", "bn1", True),
        ("efficientnet_lite0", "blocks.1.0.conv_pwl", "blocks.1.0.bn3", True),
    ],
)
def test_timm_batch_norm_act_layers_are_tapped_between_norm_and_activation(model, layer, norm, signed):
    module = build(settings("timm", model), COLOUR, 5)
    images = torch.rand(8, *COLOUR)
    # Statistics that differ from unit to unit.
    module.train()(images)
    module.eval()
    recorded = {}
    batch_norm = next(part for name, part in module.named_modules() if name.endswith(norm))
    handle = batch_norm.register_forward_hook(
        lambda _, inputs, output: recorded.update(conv=inputs[0], activation=output)
    )
    expected = module(images)
    handle.remove()
    shape = (1, -1, 1, 1)
    spread = (batch_norm.running_var + batch_norm.eps).sqrt().view(shape)
    normed = (recorded["conv"] - batch_norm.running_mean.view(shape)) / spread * batch_norm.weight.view(shape)
    normed = normed + batch_norm.bias.view(shape)
    probed_layer = opened(module, COLOUR)[layer]
    preactivations, activations = probed_layer.prefix("mean")(images)
    torch.testing.assert_close(preactivations, normed.mean((2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(activations, recorded["activation"].mean((2, 3)), atol=1e-5, rtol=1e-4)
    assert probed_layer.signed is signed
    cut = probed_layer.cut()
    torch.testing.assert_close(cut.suffix(*cut.prefix(images)[1:]), expected)


def test_timm_takes_grey_images():
    assert build(settings("timm", "resnet10t"), (1, 32, 32), 4)(torch.rand(2, 1, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (settings("timm", "resnet10"), "timm has no model 'resnet10'.*resnet101"),
        (settings("timm", "resnet18.a1_in1k"), "without a tag"),
        (settings("timm", "hf-hub:someone/something"), "timm has no model"),
        (settings("timm", "resnet10t", checkpoint_path="x.pt"), "options.checkpoint_path is not taken"),
        (settings("timm", "resnet10t", pretrained=True), "name weights under weights"),
        (settings("timm", "resnet10t", colour=True), "does not take the options"),
    ],
)
def test_timm_models_and_options_that_are_refused(network, message):
    with pytest.raises(UserError, match=message):
        build(network, COLOUR, 5)


@pytest.mark.verify
def test_timms_weights_without_a_network(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"could not fetch the weights a1_in1k of resnet18.*bring the file"):
        timm_weights("resnet18", "a1_in1k", {})
    with pytest.raises(UserError, match=r"no weights 'best' for resnet18; it has .*a1_in1k"):
        timm_weights("resnet18", "best", {})


def test_unknown_timm_options_are_refused_before_a_download(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"does not take the options .'colour': True"):
        timm_weights("resnet18", "a1_in1k", {"colour": True})


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_damaged_torchvision_download_is_reported(tmp_path, monkeypatch, content):
    go_offline(monkeypatch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(content)
    # Told before anything of it is loaded.
    with pytest.raises(UserError, match=r"resnet18-f37072fd\.pth does not hold the weights.*f37072fd\. Delete it"):
        torchvision_weights("resnet18", "IMAGENET1K_V1")


def test_foreign_weights_under_a_torchvision_name_are_refused(tmp_path, monkeypatch):
    from torchvision import models

    go_offline(monkeypatch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "checkpoints/squeezenet1_1-b8a52dc0.pth")
    with pytest.raises(UserError, match="its SHA-256 does not begin with b8a52dc0"):
        torchvision_weights("squeezenet1_1", "IMAGENET1K_V1")


def hub_file(cache, name, content, link=None):
    """Put a file where the hub's client keeps weights of resnet10t, as a link to what is named by its SHA-256."""
    folder = cache / "models--timm--resnet10t.c3_in1k"
    for part in ("blobs", "refs", "snapshots/0123456789abcdef0123456789abcdef01234567"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "refs/main").write_text("0123456789abcdef0123456789abcdef01234567")
    path = folder / "snapshots/0123456789abcdef0123456789abcdef01234567" / name
    if link is None:
        path.write_bytes(content)
    else:
        (folder / "blobs" / link).write_bytes(content)
        path.symlink_to(f"../../blobs/{link}")
    return path


def test_cached_hub_weights_are_verified_by_checksum(tmp_path, monkeypatch):
    import timm
    from huggingface_hub import constants
    from safetensors.torch import save

    go_offline(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    state = timm.create_model("resnet10t").state_dict()
    content = save(state)
    right = hashlib.sha256(content).hexdigest()
    path = hub_file(tmp_path, "model.safetensors", content, right)
    weights = timm_weights("resnet10t", "c3_in1k", {})[0]
    assert all(torch.equal(weights[key], state[key]) for key in state)
    for stored in ((content + b" ", right), (b"cut off", right), (content, None), (content, "0" * 40)):
        path.unlink()
        hub_file(tmp_path, "model.safetensors", *stored)
        with pytest.raises(
            UserError, match=r"model\.safetensors does not hold the weights c3_in1k of resnet10t: .*Delete"
        ):
            timm_weights("resnet10t", "c3_in1k", {})


def test_timm_weights_from_a_url_are_verified(tmp_path, monkeypatch):
    go_offline(monkeypatch)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18_a1_0-d63eafa0.pth").write_bytes(b"others")
    with pytest.raises(
        UserError, match=r"d63eafa0\.pth does not hold the weights a1_in1k of resnet18: its SHA-256 .*Delete"
    ):
        timm_weights("resnet18", "a1_in1k", {})


def test_timm_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="pip install timm"):
        build(settings("timm", "resnet10t"), COLOUR, 5)


# --- a function of one's own -----------------------------------------------------------------------------------------


def test_a_function_gets_the_arguments_of_its_signature():
    module = build(settings("python", "configs.own_network:network", channels=6, blocks=1), (1, 28, 28), 3)
    assert module(torch.rand(2, 1, 28, 28)).shape == (2, 3) and module[0].out_channels == 6
    # One that asks for nothing is called with its options alone.
    assert build(settings("python", "networks_by_hand:Residual", channels=4), (3, 8, 8), 9).fc.out_features == 4


def test_user_network_weights_depend_on_the_seed():
    network = settings("python", "configs.own_network:network")
    first, again, other = (build({**network, "seed": seed}, (1, 28, 28), 3)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("no_such_module:network", {}, "cannot be imported.*project's folder"),
        ("configs.own_network:nothing", {}, "has no 'nothing'"),
        ("configs.own_network:network", {"width": 3}, "options channels, blocks"),
        ("os:getcwd", {}, "returned str; it has to return a torch.nn.Module"),
    ],
)
def test_invalid_network_functions(model, options, message):
    with pytest.raises(UserError, match=message):
        build(settings("python", model, **options), (1, 28, 28), 3)


USER_MODULE = """
import torch
from networks_by_hand import opened
from torch import nn

def misspelt(classes): return nn.Lineer(3, classes)
def undefined(classes): return nn.Linear(3, clases)

class Broken(nn.Module):
    def forward(self, x): return {}["logits"]
"""


@pytest.mark.parametrize(
    ("source", "function", "message"),
    [
        (USER_MODULE, "misspelt", "AttributeError: .*Lineer"),
        (USER_MODULE, "undefined", "NameError: .*clases"),
        (USER_MODULE + "misspelled = nn.Lineer", "Broken", "cannot be imported.*AttributeError: .*Lineer"),
        (USER_MODULE + "1 / 0", "Broken", "cannot be imported.*ZeroDivisionError"),
        ("def f(: pass", "f", "cannot be imported.*SyntaxError"),
    ],
)
def test_errors_in_a_user_module_are_reported_with_their_type(tmp_path, monkeypatch, source, function, message):
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message):
        build(settings("python", f"{name}:{function}"), (1, 28, 28), 3)


def test_a_network_that_raises_on_an_image_is_reported(tmp_path, monkeypatch):
    (tmp_path / "own_broken.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    python_settings = settings("python", "own_broken:Broken")
    network = build(python_settings, (1, 28, 28), 3)
    with pytest.raises(UserError, match=r"Broken does not accept .* images of 28x28.*KeyError: 'logits'"):
        normalized(network, (1, 28, 28), ([0.0], [1.0]), python_settings, ["a", "b", "c"])


def test_checkpoint_calls_only_functions_named_in_the_config(tmp_path):
    network = settings("python", "configs.own_network:network", channels=4)
    shape = (1, 28, 28)
    saved = kept(build(network, shape, 3), tmp_path / "x.pt", network, shape, 3)
    loaded, _ = open_checkpoint(tmp_path / "x.pt", python="configs.own_network:network")
    images = torch.rand(2, *shape)
    assert torch.equal(loaded(images), saved(images))
    # As somebody might send it: os.system with an argument of theirs.
    hostile = settings("python", "os:system", command=f"touch {tmp_path / 'ran'}")
    kept(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)), tmp_path / "y.pt", hostile, shape, 3)
    for named in ("", "configs.own_network:network"):
        with pytest.raises(UserError, match=r"'os:system'.*called only where it is named"):
            open_checkpoint(tmp_path / "y.pt", python=named)
    assert not (tmp_path / "ran").exists()


def test_user_module_cannot_disable_gradients(tmp_path, monkeypatch):
    (tmp_path / "without_gradients.py").write_text(
        "import torch\ntorch.set_grad_enabled(False)\ndef network(shape, classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        build(settings("python", "without_gradients:network"), (3, 2, 2), 2)
        assert torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
