"""Checkpoints as people save them."""

import gzip
import hashlib
import io
import logging
from argparse import Namespace

import numpy as np
import pytest
import safetensors.torch
import torch
from networks_by_hand import Residual

from unitscope.errors import UserError
from unitscope.networks.building import build
from unitscope.networks.sources import options_of
from unitscope.networks.state_dicts import aligned, shared_names, without
from unitscope.networks.weight_files import load_plain, read_weights
from unitscope.networks.weights import load_weights

STATE = Residual().state_dict()
OTHER = {name: value + 1 for name, value in STATE.items()}
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def saved(path, held):
    buffer = io.BytesIO()
    torch.save(held, buffer)
    path.write_bytes(buffer.getvalue())
    return path, hashlib.sha256(buffer.getvalue()).hexdigest()


def prefixed(state, prefix):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "key", ["net", "model", "model_state_dict", "state_dict_ema", "state_dict", "my weights", "ema.module"]
)
def test_a_state_dict_is_read_from_any_key_and_logged(tmp_path, key, caplog):
    caplog.set_level(logging.INFO)
    content = STATE
    for key_part in reversed(key.split(".")):
        content = {key_part: content}
    weights = read_weights(*saved(tmp_path / "x.pt", {**content, "epoch": 3, "optimizer": OPTIMIZER, "best": 0.9}))[0]
    assert all(torch.equal(weights[name], value) for name, value in STATE.items())
    assert f"from its key {key!r}" in caplog.text


def test_one_of_several_state_dicts_must_be_named(tmp_path):
    path, checksum = saved(tmp_path / "x.pt", {"model": STATE, "ema": {"model": OTHER}, "epoch": 3})
    with pytest.raises(UserError, match=r"several state dicts: model, ema.model. Name one: weights: \{key: model"):
        read_weights(path, checksum)
    assert torch.equal(read_weights(path, checksum, "ema.model")[0]["fc.bias"], OTHER["fc.bias"])
    with pytest.raises(UserError, match=r"weights.key is 'net', which is no state dict there.*model, ema.model"):
        read_weights(path, checksum, "net")


@pytest.mark.parametrize(
    ("extra_entries", "names"),
    [
        ({"classes": ["b", "a"]}, ["b", "a"]),
        ({"class_names": ("b", "a")}, ["b", "a"]),
        ({"class_to_idx": {"a": 1, "b": 0}}, ["b", "a"]),
        # What is no list of names.
        ({"classes": 2}, []),
        ({"classes": [1, 0]}, []),
        ({"class_to_idx": {"a": 1, "b": 2}}, []),
        ({"class_to_idx": {"a": 0, "b": [1]}}, []),
        ({}, []),
    ],
)
def test_class_names_next_to_a_state_dict(tmp_path, extra_entries, names):
    state, class_names = read_weights(*saved(tmp_path / "x.pt", {"model": STATE, **extra_entries}))
    assert class_names == names and state.keys() == STATE.keys()


def test_a_file_without_a_state_dict_is_refused_with_its_keys(tmp_path):
    with pytest.raises(UserError, match=r"is not a state dict.*Its keys are epoch, optimizer"):
        read_weights(*saved(tmp_path / "x.pt", {"epoch": 3, "optimizer": OPTIMIZER}))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.module.", "encoder.q."])
def test_a_prefix_of_all_weights_is_removed_and_logged(prefix, caplog):
    caplog.set_level(logging.INFO)
    state = {**prefixed(STATE, prefix), "loss.weight": torch.ones(3)}
    module = Residual()
    load_weights(module, aligned(state, list(module.state_dict()), "x.pt"), "x.pt")
    assert torch.equal(module.conv1.weight, STATE["conv1.weight"])
    assert f"the prefix {prefix!r} is taken off" in caplog.text and "loss.weight" in caplog.text


def test_weights_under_several_prefixes_require_a_setting():
    state = {**prefixed(STATE, "student."), **prefixed(OTHER, "teacher.")}
    network_names = list(STATE)
    with pytest.raises(UserError, match=r"several prefixes: student., teacher..*strip_prefix: student\."):
        aligned(state, network_names, "x.pt")
    teacher_state = {
        name: value for name, value in aligned(state, network_names, "x.pt", "teacher.").items() if name in STATE
    }
    assert torch.equal(teacher_state["fc.bias"], OTHER["fc.bias"])


def test_weights_of_another_network_are_refused_with_keys_settings_and_options():
    settings = {"source": "built_in", "model": "shallow_convnet", "options": {}, "head": None}
    module = build(settings, (3, 16, 16), 3)
    with pytest.raises(
        UserError, match=r"it lacks .*it has stem.weight.*options are .*channels.*strip_prefix: .*stem.weight"
    ):
        load_weights(module, aligned(STATE, list(module.state_dict()), "x.pt"), "x.pt", "", options_of(settings))


def test_options_of_an_architecture_are_listed():
    assert {"channels", "hidden"} <= set(options_of({"source": "built_in", "model": "shallow_convnet"}))
    assert "image_size" in options_of({"source": "torchvision", "model": "vit_b_16"})
    assert options_of({"source": "exported", "model": "x"}) == []
    assert options_of({"source": "python", "model": "networks_by_hand:Residual"}) == ["channels"]


class Tied(Residual):
    """A network that has one tensor under two names."""

    def __init__(self):
        super().__init__()
        self.conv3 = torch.nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.conv3.weight = self.conv1.weight


@pytest.mark.parametrize("dropped", ["conv1.weight", "conv3.weight"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_tied_tensor_may_be_stored_once(tmp_path, dropped, prefix):
    state = {name: value for name, value in Tied().state_dict().items() if name != dropped}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.torch.save(prefixed(state, prefix)))
    module = Tied()
    weights = read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest())[0]
    load_weights(module, aligned(weights, list(module.state_dict()), "x", shared=shared_names(module)), "x")
    shared_weight = state.get("conv1.weight", state.get("conv3.weight"))
    assert torch.equal(module.conv1.weight, shared_weight) and torch.equal(module.conv3.weight, shared_weight)
    lacking = {name: value for name, value in state.items() if name not in ("conv1.weight", "conv3.weight")}
    with pytest.raises(UserError, match=r"lacks conv1\.weight, conv3\.weight"):
        load_weights(Tied(), lacking, "x")


def test_strip_prefix_loads_only_keys_with_the_prefix(caplog):
    caplog.set_level(logging.INFO)
    state = {**prefixed(STATE, "module.encoder_q."), **prefixed(OTHER, "module.encoder_k."), "queue": torch.ones(3)}
    module = Residual()
    load_weights(module, aligned(state, list(STATE), "x.pt", "module.encoder_q."), "x.pt")
    assert torch.equal(module.conv1.weight, STATE["conv1.weight"])
    assert "module.encoder_k.stem.weight" in caplog.text and "left out" in caplog.text
    with pytest.raises(UserError, match=r"strip_prefix is 'encoder.', with which no key begins: module.encoder_q"):
        aligned(state, list(STATE), "x.pt", "encoder.")


def test_unexpected_keys_are_skipped_if_the_config_ignores_them():
    state = {**STATE, "aux.weight": torch.ones(3), "stem.total_ops": torch.ones(1)}
    with pytest.raises(UserError, match=r"has aux.weight, stem.total_ops, which Residual has not.*ignore: \[aux"):
        load_weights(Residual(), state, "x.pt")
    load_weights(Residual(), without(state, ["aux.*", "*.total_ops"], "x.pt"), "x.pt")
    with pytest.raises(UserError, match=r"ignore has 'total_ops', which no key fits"):
        without(state, ["total_ops"], "x.pt")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.bfloat16])
def test_a_network_keeps_its_precision(tmp_path, dtype, stored):
    state = {key: value.to(stored) if value.is_floating_point() else value for key, value in STATE.items()}
    module = Residual().to(dtype)
    load_weights(module, read_weights(*saved(tmp_path / "x.pt", state))[0], "x.pt")
    assert {value.dtype for value in module.parameters()} == {dtype}
    assert torch.equal(module.conv1.weight, state["conv1.weight"].to(dtype))
    assert module(torch.rand(2, 3, 8, 8, dtype=dtype)).dtype == dtype


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weights_renamed_by_torch_are_loaded():
    older = torch.nn.Sequential(torch.nn.utils.weight_norm(torch.nn.Conv2d(3, 4, 3)))
    newer = torch.nn.Sequential(torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(3, 4, 3)))
    load_weights(newer, older.state_dict(), "x.pt")
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(newer(images), older(images))
    with pytest.raises(UserError, match=r"it has 0.weight_h"):
        load_weights(newer, {"0.weight_h": torch.ones(2)}, "x.pt")


@pytest.mark.parametrize(
    ("held", "entry", "kind"),
    [
        ({"model": STATE, "best accuracy": np.float64(0.5)}, "best accuracy", "scalar"),
        ({"args": Namespace(rate=1), "model": STATE}, "args", "argparse.Namespace"),
    ],
)
def test_non_plain_entry_is_named(tmp_path, held, entry, kind):
    with pytest.raises(UserError, match=rf"its entry '{entry}' holds \S*{kind}, which is more than") as error:
        read_weights(*saved(tmp_path / "x.pt", held))
    assert "\x1b" not in str(error.value)


def wrapped(kind):
    """Return a network in a wrapper of torch's."""
    wrappers = {"compiled": lambda module: torch.compile(module, backend="eager"), "parallel": torch.nn.DataParallel}
    return wrappers[kind](Residual())


@pytest.mark.parametrize("kind", ["compiled", "parallel"])
def test_a_function_may_return_a_wrapped_network(kind):
    settings = {"source": "python", "model": f"{__name__}:wrapped", "options": {"kind": kind}}
    module = build(settings, (3, 8, 8), 4)
    assert type(module) is Residual
    load_weights(module, aligned(prefixed(STATE, "module."), list(module.state_dict()), "x.pt"), "x.pt")
    assert torch.equal(module.conv1.weight, STATE["conv1.weight"])


class Versioned(torch.nn.Module):
    """A module whose files of version 1 hold the logarithm of its scale, and keep an older order of operations."""

    _version = 2

    def __init__(self, renamed=False):
        super().__init__()
        self.scale, self.older, self.renamed = torch.nn.Parameter(torch.linspace(0.2, 2, 4)), False, renamed

    def _load_from_state_dict(self, state, prefix, versions, *rest):
        self.older = (versions.get("version") or 1) < 2
        if self.older:
            state[f"{prefix}scale"] = state.pop(f"{prefix}{'log_scale' if self.renamed else 'scale'}").exp()
        super()._load_from_state_dict(state, prefix, versions, *rest)

    def forward(self, x):
        return (torch.tanh(x) if self.older else x) * self.scale


def versioned(renamed=False):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), Versioned(renamed))


def stored(tmp_path, state, module, prefix=None):
    """Put a state dict into a network by way of a file."""
    weights = aligned(read_weights(*saved(tmp_path / "x.pt", state))[0], list(module.state_dict()), "x.pt", prefix)
    load_weights(module, without(weights, [], "x.pt"), "x.pt")
    return module


@pytest.mark.parametrize("prefix", [None, "module."])
@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_modules_load_a_file_by_its_version_metadata(tmp_path, prefix, renamed, version):
    source = versioned()
    state = (torch.nn.DataParallel(source) if prefix else source).state_dict()
    if version == 1:
        place = f"{prefix or ''}2"
        state._metadata[place]["version"] = 1
        state[f"{place}.{'log_scale' if renamed else 'scale'}"] = state.pop(f"{place}.scale").log()
        source[2].older = True
    images = torch.rand(2, 3, 2, 2)
    loaded = stored(tmp_path, state, versioned(renamed), prefix)
    torch.testing.assert_close(loaded(images), source(images))
    if not prefix:
        plain = versioned(renamed)
        plain.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True))
        assert torch.equal(plain(images), loaded(images))


def test_a_file_without_versions_is_read_as_torch_does(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.torch.save(versioned().state_dict()))
    module, plain = versioned(), versioned()
    load_weights(module, read_weights(path, hashlib.sha256(path.read_bytes()).hexdigest())[0], "x")
    plain.load_state_dict(safetensors.torch.load_file(path))
    assert module[2].older and torch.equal(module[2].scale, plain[2].scale)


def test_a_shape_that_a_module_converts_is_taken():
    class Transposed(torch.nn.Linear):
        def _load_from_state_dict(self, state, prefix, *rest):
            state[f"{prefix}weight"] = state[f"{prefix}weight"].reshape(self.weight.shape)
            super()._load_from_state_dict(state, prefix, *rest)

    module, weight = torch.nn.Sequential(Transposed(3, 2)), torch.rand(2, 3, 1, 1)
    load_weights(module, {"0.weight": weight, "0.bias": torch.zeros(2)}, "x.pt")
    assert torch.equal(module[0].weight, weight[..., 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.to_sparse(), r"x\.pt: fc\.weight is sparse .*state\['fc\.weight'\]\.to_dense\(\)"),
        (lambda value: value.to_sparse_csr(), r"fc\.weight is sparse .*to_dense"),
        (lambda value: value.to("meta"), r"x\.pt: fc\.weight is on the meta device and holds no values"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), r"is quantized .*dequantize\(\)"),
        (lambda value: value.to(torch.complex64), r"holds complex numbers .*the network's are real"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
def test_non_numeric_tensors_are_named(change, message):
    with pytest.raises(UserError, match=message):
        load_weights(Residual(), {**STATE, "fc.weight": change(STATE["fc.weight"])}, "x.pt")


def scripted(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def exported(path):
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)


@pytest.mark.filterwarnings("ignore:.torch.jit.")
@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.json", lambda path: path.write_text('{"metadata": {}, "weight_map": {}}'), "index of weights in several"),
        ("x.pt.gz", lambda path: path.write_bytes(gzip.compress(b"weights")), "compressed. Unpack it first"),
        ("x.npz", lambda path: np.savez(path, weight=np.zeros(2)), "NumPy's arrays. Save them as tensors"),
        ("x.pt", scripted, "a ScriptModule.*state_dict"),
        ("x.pt2", exported, "an exported program. Set source: exported"),
    ],
)
def test_a_file_of_another_kind_is_not_reported_as_damaged(tmp_path, name, write, message):
    write(tmp_path / name)
    checksum = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with pytest.raises(UserError, match=message) as caught:
        read_weights(tmp_path / name, checksum)
    assert "damaged" not in str(caught.value)


def test_a_damaged_file_is_reported_without_advice_to_run_it(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"weights")
    with pytest.raises(UserError, match="damaged") as caught:
        read_weights(tmp_path / "x.pt", hashlib.sha256(b"weights").hexdigest())
    assert "weights_only" not in str(caught.value)


def test_one_of_several_files_is_reported_as_such():
    part = {key: value for key, value in STATE.items() if not key.startswith("fc")}
    with pytest.raises(UserError, match=r"number 2 of 3: it lacks fc.weight, fc.bias. Join the state dicts"):
        load_weights(Residual(), part, "model-00002-of-00003.safetensors")


def test_integers_in_place_of_weights_are_warned_of(caplog):
    load_weights(Residual(), {**STATE, "fc.weight": (STATE["fc.weight"] * 400).to(torch.int8)}, "x.pt")
    assert "x.pt: fc.weight holds numbers of the type torch.int8" in caplog.text
    caplog.clear()
    load_weights(Residual(), STATE, "x.pt")
    assert not caplog.text


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_tensors_stay_tied(device, caplog):
    with torch.device(device):
        module = Tied()
    reference = Tied()
    state = {**reference.state_dict(), "conv3.weight": reference.conv3.weight + 1}
    load_weights(module, state, "x.pt")
    assert "x.pt holds different values for conv1.weight and conv3.weight" in caplog.text
    reference.load_state_dict(state)
    for path in ("conv1", "conv3"):
        assert torch.equal(module.get_submodule(path).weight, reference.get_submodule(path).weight)
    assert module.conv1.weight is module.conv3.weight or device == "meta"
    caplog.clear()
    load_weights(module, reference.state_dict(), "x.pt")
    assert not caplog.text


def test_a_buffer_that_is_expanded_takes_its_values():
    module = Residual()
    module.register_buffer("mask", torch.ones(1).expand(3))
    load_weights(module, {**STATE, "mask": torch.arange(3.0)}, "x.pt")
    assert torch.equal(module.mask, torch.arange(3.0))


def test_an_archive_with_damaged_names_is_reported_as_damaged(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(2)}, path)
    content = path.read_bytes()
    # In the directory at the end, where a name is flagged as UTF-8.
    place = content.rindex(b"weights/data.pkl")
    flags = content.rindex(b"PK\1\2", 0, place) + 8
    damaged = bytearray(content)
    damaged[flags : flags + 2] = b"\0\x08"
    damaged[place] = 0x80
    with pytest.raises(UserError, match="cut off, damaged"):
        load_plain(bytes(damaged), path)
