"""RS on natural images: by hand, against its definition, and the script."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unitscope.scores import natural
from unitscope.scores.natural import natural_substitution
from unitscope.scores.natural_columns import NaturalTable
from unitscope.storage.csv_tables import read_table
from unitscope.storage.hdf5 import create_hdf5

ROOT = Path(__file__).parents[3]
# Five images, four units. Unit 1 is unit 0 twice as loud; unit 3 is dead.
ACTIVATIONS = np.array(
    [[3.0, 6.0, 0.0, 0.0], [2.0, 4.0, 5.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
)


def scores(blocks):
    return {
        name: np.concatenate([getattr(block, name) for block in blocks]) for name in ("rs", "rs_z", "rs_q", "seeds")
    }


def test_natural_rs_by_hand():
    by_name = scores(natural_substitution(ACTIVATIONS, count=2))
    # Unit 0: on images 0 and 1 it is exceeded by one and by two units of four. Unit 1: by none, then by one.
    # Unit 2: on image 1 by none; on image 3 by none.
    assert by_name["rs"][:3].tolist() == [(1 / 4 + 2 / 4) / 2, (0 + 1 / 4) / 2, 0]
    assert np.isnan(by_name["rs"][3]) and by_name["seeds"].tolist() == [2, 2, 2, 0]
    assert np.isnan(by_name["rs_z"]).all()


def test_scaled_duplicate_exceeds_only_in_raw_rs():
    std = ACTIVATIONS.std(0)
    by_name = scores(natural_substitution(ACTIVATIONS, ACTIVATIONS.mean(0), std, np.array([3.0, 6.0, 5.0, np.nan]), 1))
    assert by_name["rs"][:3].tolist() == [1 / 4, 0, 0]
    # Unit 3 has no scale and does not compete; scaled, units 0 and 1 are one.
    assert by_name["rs_z"][:3].tolist() == [0, 0, 0] and by_name["rs_q"][:3].tolist() == [0, 0, 0]


def test_images_without_activation_are_not_used():
    by_name = scores(natural_substitution(ACTIVATIONS, count=9))
    assert by_name["seeds"].tolist() == [3, 3, 2, 0]
    assert by_name["rs"][0] == pytest.approx((1 / 4 + 2 / 4 + 1 / 4) / 3)


def test_block_size_and_image_order_change_nothing(monkeypatch):
    draws = np.random.default_rng(0)
    values = np.maximum(draws.normal(0.3, 1, (60, 23)), 0)
    whole = scores(natural_substitution(values, values.mean(0), values.std(0)))
    monkeypatch.setattr(natural, "BLOCK", 5)
    order = draws.permutation(60)
    parts = scores(natural_substitution(values[order], values.mean(0), values.std(0)))
    np.testing.assert_allclose(parts["rs"], whole["rs"], rtol=1e-12)
    np.testing.assert_allclose(parts["rs_z"], whole["rs_z"], rtol=1e-12)
    # Its definition, for one unit.
    top = np.argsort(-values[:, 7])[:9]
    assert whole["rs"][7] == pytest.approx((values[top] > values[top, 7, None]).mean())


def test_script(tmp_path):
    with create_hdf5(tmp_path / "activations.h5", {}) as out:
        for depth, layer, signed in ((2, "a.10", True), (1, "a.9", False)):
            group = out.create_group(f"layers/{layer}")
            group.attrs.update({"depth": depth, "signed": signed})
            group["activations"] = ACTIVATIONS.astype(np.float32)
            group["mean"], group["std"] = ACTIVATIONS.mean(0), ACTIVATIONS.std(0)
            group["positive_q99"] = np.array([3.0, 6.0, 5.0, np.nan])
    command = [sys.executable, ROOT / "scripts/analyses/natural.py", "--activations", tmp_path / "activations.h5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    subprocess.run([*command, "--output", tmp_path / "natural.csv"], check=True, env=environment)
    table = read_table(tmp_path / "natural.csv", NaturalTable)
    assert table["layer"].tolist() == ["a.9"] * 4 + ["a.10"] * 4 and table["unit"].tolist() == [0, 1, 2, 3] * 2
    assert table["rs_natural"][0] == pytest.approx((1 / 4 + 2 / 4 + 1 / 4) / 3)
    # Signed activations have no quantile.
    assert np.isfinite(table["rs_q_natural"][:3]).all() and np.isnan(table["rs_q_natural"][4:]).all()
