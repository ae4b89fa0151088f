"""Checkpoints as people save them."""

import hashlib
import io
import logging

import pytest
import torch
from networks_by_hand import Residual

from unitscope.errors import UserError
from unitscope.networks import build
from unitscope.sources import options_of
from unitscope.weights import aligned, load_weights, read_state_dict

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
