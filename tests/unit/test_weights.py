"""Checkpoints as people save them."""

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
from unitscope.networks.weights import aligned, load_weights, read_state_dict, shared_names, without

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
def test_a_state_dict_is_found_under_any_key_and_said(tmp_path, key, caplog):
    caplog.set_level(logging.INFO)
    held = STATE
    for part in reversed(key.split(".")):
        held = {part: held}
    found = read_state_dict(*saved(tmp_path / "x.pt", {**held, "epoch": 3, "optimizer": OPTIMIZER, "best": 0.9}))
    assert all(torch.equal(found[name], value) for name, value in STATE.items())
    assert f"from its key {key!r}" in caplog.text


def test_of_several_state_dicts_one_is_named(tmp_path):
    path, checksum = saved(tmp_path / "x.pt", {"model": STATE, "ema": {"model": OTHER}, "epoch": 3})
    with pytest.raises(UserError, match=r"several state dicts: model, ema.model. Name one: weights: \{key: model"):
        read_state_dict(path, checksum)
    assert torch.equal(read_state_dict(path, checksum, "ema.model")["fc.bias"], OTHER["fc.bias"])
    with pytest.raises(UserError, match=r"weights.key is 'net', which is no state dict there.*model, ema.model"):
        read_state_dict(path, checksum, "net")


def test_a_file_without_a_state_dict_is_told_with_its_keys(tmp_path):
    with pytest.raises(UserError, match=r"is not a state dict.*Its keys are epoch, optimizer"):
        read_state_dict(*saved(tmp_path / "x.pt", {"epoch": 3, "optimizer": OPTIMIZER}))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.module.", "encoder.q."])
def test_a_prefix_under_which_all_weights_are_is_taken_off_and_said(prefix, caplog):
    caplog.set_level(logging.INFO)
    state = {**prefixed(STATE, prefix), "loss.weight": torch.ones(3)}
    module = Residual()
    load_weights(module, aligned(state, list(module.state_dict()), "x.pt"), "x.pt")
    assert torch.equal(module.conv1.weight, STATE["conv1.weight"])
    assert f"the prefix {prefix!r} is taken off" in caplog.text and "loss.weight" in caplog.text


def test_weights_under_several_prefixes_are_to_be_named():
    state = {**prefixed(STATE, "student."), **prefixed(OTHER, "teacher.")}
    own = list(STATE)
    with pytest.raises(UserError, match=r"several prefixes: student., teacher..*strip_prefix: student\."):
        aligned(state, own, "x.pt")
    named = {name: value for name, value in aligned(state, own, "x.pt", "teacher.").items() if name in STATE}
    assert torch.equal(named["fc.bias"], OTHER["fc.bias"])


def test_weights_of_another_network_are_refused_with_keys_settings_and_options():
    settings = {"source": "built_in", "model": "shallow_convnet", "options": {}, "head": None}
    module = build(settings, (3, 16, 16), 3)
    with pytest.raises(
        UserError, match=r"it lacks .*it has stem.weight.*options are .*channels.*strip_prefix: .*stem.weight"
    ):
        load_weights(module, aligned(STATE, list(module.state_dict()), "x.pt"), "x.pt", "", options_of(settings))


def test_options_of_an_architecture_are_known():
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
def test_a_tensor_with_two_names_may_be_there_once(tmp_path, dropped, prefix):
    state = {name: value for name, value in Tied().state_dict().items() if name != dropped}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.torch.save(prefixed(state, prefix)))
    module = Tied()
    found = read_state_dict(path, hashlib.sha256(path.read_bytes()).hexdigest())
    load_weights(module, aligned(found, list(module.state_dict()), "x", shared=shared_names(module)), "x")
    kept = state.get("conv1.weight", state.get("conv3.weight"))
    assert torch.equal(module.conv1.weight, kept) and torch.equal(module.conv3.weight, kept)
    lacking = {name: value for name, value in state.items() if name not in ("conv1.weight", "conv3.weight")}
    with pytest.raises(UserError, match=r"lacks conv1\.weight, conv3\.weight"):
        load_weights(Tied(), lacking, "x")


def test_a_prefix_that_is_named_takes_the_keys_that_have_it_alone(caplog):
    caplog.set_level(logging.INFO)
    state = {**prefixed(STATE, "module.encoder_q."), **prefixed(OTHER, "module.encoder_k."), "queue": torch.ones(3)}
    module = Residual()
    load_weights(module, aligned(state, list(STATE), "x.pt", "module.encoder_q."), "x.pt")
    assert torch.equal(module.conv1.weight, STATE["conv1.weight"])
    assert "module.encoder_k.stem.weight" in caplog.text and "left out" in caplog.text
    with pytest.raises(UserError, match=r"strip_prefix is 'encoder.', with which no key begins: module.encoder_q"):
        aligned(state, list(STATE), "x.pt", "encoder.")


def test_keys_that_the_network_has_not_are_left_out_where_the_config_ignores_them():
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
    load_weights(module, read_state_dict(*saved(tmp_path / "x.pt", state)), "x.pt")
    assert {value.dtype for value in module.parameters()} == {dtype}
    assert torch.equal(module.conv1.weight, state["conv1.weight"].to(dtype))
    assert module(torch.rand(2, 3, 8, 8, dtype=dtype)).dtype == dtype


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_weights_that_torch_itself_renames_are_taken():
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
def test_an_entry_that_is_no_plain_value_is_named(tmp_path, held, entry, kind):
    with pytest.raises(UserError, match=rf"its entry '{entry}' holds \S*{kind}, which is more than") as error:
        read_state_dict(*saved(tmp_path / "x.pt", held))
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
