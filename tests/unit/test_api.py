"""What `import unitscope` offers: each name is there, its example is true, and its results show themselves."""

import ast
import base64
import doctest
import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, linear, opened, quiet, with_stand_in
from PIL import Image
from torch import nn
from torch.nn import functional as F

import unitscope as us
from unitscope.figures import unit_views
from unitscope.maximization.recipe import OBJECTIVES
from unitscope.notebook import Maximization
from unitscope.registries import Declaration

ROOT = Path(__file__).parents[2]
FEW = us.Recipe(steps=6, points=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4
PIXELS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255


def layer(name="conv1"):
    return opened(quiet(Residual()))[name]


# --- names -----------------------------------------------------------------------------------------------------------


STUB = ast.parse((ROOT / "unitscope/__init__.pyi").read_text())
HOMES = {alias.name: f"unitscope.{line.module}" for line in STUB.body for alias in line.names}


@pytest.mark.slow
def test_public_functions_do_not_depend_on_import_order():
    # Each order in a copy of a process that has loaded PyTorch, which takes seconds.
    code = [
        "import os, torch, h5py, scipy.stats, matplotlib.figure, PIL.Image, pydantic, fontTools.subset",
        "def hold(lines):",
        "    if not (child := os.fork()):",
    ]
    code += ["        exec(lines)", "        os._exit(0)", "    assert os.waitpid(child, 0)[1] == 0, lines"]
    for name, module in HOMES.items():
        for first in (f"import unitscope; import {module}", f"import {module}; import unitscope", "import unitscope"):
            code.append(f"hold({f'{first}; assert callable(unitscope.{name})'!r})")
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and len(code) == 6 + 3 * len(us.__all__), done.stderr


def test_the_public_names_are_listed_and_typed():
    assert dir(us) == sorted(us.__all__) == sorted(HOMES)
    assert {"Probe", "maximize", "substitution", "ablate", "load", "Recipe"} <= set(dir(us))
    assert (ROOT / "unitscope/py.typed").is_file()
    settings = (ROOT / "pyproject.toml").read_text()
    assert '"unitscope" = ["*.pyi", "py.typed"]' in settings
    for name, module in HOMES.items():
        assert getattr(us, name) is getattr(importlib.import_module(module), name)


def test_names_are_imported_lazily():
    code = "import sys, unitscope; unitscope.Recipe; print(*(name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "unitscope.maximization.recipe" in loaded and not {"torch", "matplotlib", "unitscope.api"} & loaded


WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "unitscope").rglob("*.py")
    if ">>>" in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted and not results.failed


def test_public_functions_have_examples():
    for name in ("Probe", "activations", "class_selectivity", "representative_substitution"):
        assert ">>>" in getattr(us, name).__doc__
    for name in ("api", "interventions.ablation", "maximization.maximize"):
        assert f"unitscope.{name}" in WITH_EXAMPLES


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"no 'selectivity_of_classes'; it has .*class_selectivity"):
        us.selectivity_of_classes  # noqa: B018


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("activation_maximization", "unitscope.maximize(probe[layer], unit)"),
        ("ablation", "unitscope.ablate(probe[layer], images, labels)"),
        ("taps", "Probe(model, shape, mean, std).layers"),
        ("freeze", "unitscope.Probe(model, shape, mean, std)"),
    ],
)
def test_renamed_functions_point_to_the_new_name(old, new):
    with pytest.raises(AttributeError, match=re.escape(f"unitscope.{old} is now ") + ".*" + re.escape(new)):
        getattr(us, old)
    assert f"`{old}`" in (ROOT / "docs/python.md").read_text()


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "units"),
    [(2, [2]), (np.int64(2), [2]), ([3, 1], [3, 1]), (np.array([0, 5]), [0, 5]), ([1, 1], [1]), (None, range(6))],
)
def test_units_may_be_a_number_a_list_or_none(unit, units):
    result = us.maximize(layer(), unit, recipe=FEW)
    assert result.units.tolist() == list(units) and len(result) == len(list(units))
    assert result.images.shape == (1, len(result), 8, 8, 3) and result.images.dtype == np.uint8
    assert result.responses.shape == (1, len(result), 6) and result.activations.shape == (1, len(result))
    assert result.objective.shape == (1, len(result), 3) and result.steps.tolist() == [0, 3, 6]


@pytest.mark.parametrize("call", ["maximize", "substitution", "ablate"])
@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (6, "conv1 has no unit 6: its units are 0 to 5"),
        ([0, -1], "conv1 has no unit -1: its units are 0 to 5"),
        ([], r"unit is \[\]; give a number, a list of numbers, or None"),
        ("5", "unit is '5'; give a number"),
        (1.0, "unit is 1.0"),
        (True, "unit is True"),
    ],
)
def test_unknown_unit_error_names_the_range(call, unit, message):
    calls = {
        "maximize": lambda: us.maximize(layer(), unit),
        "substitution": lambda: us.substitution(layer(), unit),
        "ablate": lambda: us.ablate(layer(), IMAGES, LABELS, unit),
    }
    with pytest.raises(us.UserError, match=message):
        calls[call]()


def test_an_image_depends_on_seed_layer_and_unit_alone():
    together = us.maximize(layer(), [4, 0, 2], recipe=FEW, seeds=(0, 7), batch=6)
    for index, unit in enumerate([4, 0, 2]):
        alone = us.maximize(layer(), unit, recipe=FEW, seeds=(0, 7), batch=6)
        assert np.array_equal(alone.images[:, 0], together.images[:, index])
        assert np.array_equal(together[unit].images, alone.images) and together[unit].units.tolist() == [unit]
    assert not np.array_equal(*together.images)
    assert not np.array_equal(us.maximize(layer("conv2"), 2, recipe=FEW).images, together[2].images[:1])
    with pytest.raises(us.UserError, match="no image for unit 1 of conv1, but for units 4, 0, 2"):
        together[1]


def test_objectives_and_recipes():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    probe = us.Probe(linear(weight, torch.full((4,), 30.0)), shape=(3, 2, 2), mean=0, std=1)
    for objective, weight_of_others in (("am", 0), ("iam", 1)):
        maximization = us.maximize(probe["units"], 3, objective=objective)
        corner = (weight[3] > weight_of_others * weight[:3].mean(0)).float().view(3, 2, 2)
        assert torch.equal(torch.from_numpy(maximization.images[0, 0]).permute(2, 0, 1) / 255, corner)
        assert repr(maximization) == f"Maximization of {objective} in layer units: unit 3"
    down = us.maximize(probe["units"], [0, 1], recipe=us.Recipe(minimize=True), objective="iam")
    assert repr(down) == "Maximization of minimum of iam in layer units: units 0, 1" and down.minimized
    with pytest.raises(us.UserError, match=r"iamz.*iam_z"):
        us.maximize(probe["units"], 3, objective="iamz")


def test_missing_real_images_are_requested(monkeypatch):
    with pytest.raises(us.UserError, match=r"the objective iam_z needs real images\. Give real_images="):
        us.maximize(layer(), 0, objective="iam_z")
    with pytest.raises(us.UserError, match="the start 'mean' needs real images"):
        us.maximize(layer(), 0, recipe=us.Recipe(start="mean"))
    # Which do is what they declare, those of other people too.
    monkeypatch.setitem(OBJECTIVES, "own", Declaration("Its own.", frozenset({"standardized"})))
    with pytest.raises(us.UserError, match="the objective own needs real images"):
        us.maximize(layer(), 0, objective="own")
    start = us.Recipe(start="mean", steps=1, points=2, learning_rate=1e-6)
    maximization = us.maximize(layer(), 0, recipe=start, real_images=IMAGES)
    np.testing.assert_allclose(maximization.images[0, 0], IMAGES.mean(0).round(), atol=1)
    assert us.maximize(layer(), [0, 1], objective="iam_z", recipe=FEW, real_images=PIXELS).images.shape[1] == 2


@pytest.mark.parametrize(
    "images", [IMAGES, PIXELS, (255 * PIXELS).byte(), IMAGES / 255, (IMAGES / 255).astype(np.float32)]
)
def test_images_as_people_have_them_are_the_same(images):
    lost = us.ablate(layer("stem"), images, LABELS, [1])
    assert lost.loss == us.ablate(layer("stem"), IMAGES, LABELS, [1]).loss


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((PIXELS - 0.5) / 0.25, r"images is float32 from -2 to 2; give pixels.*The Probe normalizes them itself"),
        (IMAGES.astype(np.float32), "from 0 to 255; give pixels"),
        (PIXELS[:, :, :4], r"images has the shape \(40, 3, 4, 8\); give \(images, 3, 8, 8\)"),
        (IMAGES[..., 0], r"shape \(40, 8, 8\); give \(images, 8, 8, 3\)"),
        (IMAGES.astype(np.int64), "images is int64"),
    ],
)
def test_invalid_pixels_are_refused(images, message):
    with pytest.raises(us.UserError, match=message):
        us.ablate(layer(), images, LABELS)


# --- substitution and ablation ---------------------------------------------------------------------------------------


def test_substitution_in_a_network_with_a_duplicate_unit():
    model = with_stand_in("duplicate")
    with torch.no_grad():
        # Read half as much: the duplicate of unit 0 responds twice as strongly to every image.
        for weights in (model.units.weight, model.units.bias):
            weights[3] *= 2
        model.read.weight[:, 3] /= 2
    probe = us.Probe(model, shape=(1, 1, 3), mean=0, std=1)
    real = np.random.default_rng(0).integers(0, 256, (100, 1, 3, 1), dtype=np.uint8)
    for result in (us.substitution(probe["units"], objective="iam", recipe=us.Recipe(steps=64, points=2)),):
        assert result.rs.tolist() == [1 / 4, 0, 0, 0] and result.substitutes == {0: [3], 1: [], 2: [], 3: []}
        assert np.isnan(result.scores.rs_z).all() and np.isnan(result.scores.rs_q).all()
    scaled = us.substitution(probe["units"], [0, 3], recipe=us.Recipe(steps=64, points=2), real_images=real)
    assert scaled.rs.tolist() == [1 / 4, 0]
    assert not scaled.scores.rs_z.any() and not scaled.scores.rs_q.any()
    frame = result.to_frame()
    assert frame.columns.tolist() == [
        *("unit", "rs", "rs_z", "rs_q", "rs_r", "ties", "seeds", "exceeders", "substitutes")
    ]
    assert frame["rs"].tolist() == result.rs.tolist() and frame["substitutes"].tolist() == [[3], [], [], []]
    shown = result._repr_html_()
    assert shown.count("<img ") == 4 and "<td>0.250</td><td>3</td>" in shown and repr(result) in shown


@pytest.mark.parametrize("clamp", ["zero", "mean", 0.3, np.linspace(0, 1, 6)])
def test_ablation_equals_a_full_pass_with_a_hook(clamp):
    module = quiet(Residual())
    result = us.ablate(opened(module)["stem"], PIXELS, torch.from_numpy(LABELS), [5, 2], clamp=clamp, batch=7)
    activation = torch.relu(module.stem(PIXELS))
    values = (
        {"zero": torch.zeros(6), "mean": activation.mean((0, 2, 3))}.get(clamp) if isinstance(clamp, str) else clamp
    )
    values = torch.as_tensor(np.broadcast_to(values, 6).copy())
    labels = torch.from_numpy(LABELS)
    logits = module(PIXELS)
    for index, unit in enumerate([5, 2]):

        def clamped(_, __, output, unit=unit):
            output = torch.relu(output)
            output[:, unit] = values[unit]
            return output

        handle = module.stem.register_forward_hook(clamped)
        clamped_logits = module(PIXELS)
        handle.remove()
        rise = F.cross_entropy(clamped_logits, labels) - F.cross_entropy(logits, labels)
        assert result.loss[index] == pytest.approx(rise.item(), abs=1e-5)
        drop = (logits.argmax(1) == labels).float().mean() - (clamped_logits.argmax(1) == labels).float().mean()
        assert result.accuracy[index] == pytest.approx(drop.item())
    frame = result.to_frame()
    assert frame["unit"].tolist() == [5, 2] and frame.columns.tolist() == ["unit", "loss", "accuracy", "worst_class"]
    assert "<table" in result._repr_html_() and repr(result) == "Ablation in layer stem: units 5, 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": LABELS[:-1]},
            r"labels are int64 of shape \(39,\); give one whole number for each of the 40",
        ),
        ({"labels": LABELS / 1.0}, "labels are float64"),
        ({"labels": LABELS + 1}, "labels run from 1 to 4, and the network has 4 classes"),
        ({"clamp": "max"}, "clamp is 'max'; give 'zero', 'mean'"),
        ({"clamp": np.zeros(5)}, r"clamp has the shape \(5,\); conv1 has 6 units"),
    ],
)
def test_invalid_ablation_arguments_are_refused(changes, message):
    with pytest.raises(us.UserError, match=message):
        us.ablate(layer(), IMAGES, **({"labels": LABELS} | changes))


# --- results that show themselves ------------------------------------------------------------------------------------


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def read(path: Path) -> Image.Image:
    return picture(path.read_bytes())


def test_notebook_shows_images_and_their_objective_curves():
    maximization = us.maximize(layer(), [0, 3], recipe=FEW)
    shown = maximization._repr_html_()
    assert shown.count('<img style="display:block') == shown.count("<polyline ") == 2
    assert "unit 0" in shown and "unit 3" in shown and repr(maximization) in shown
    first, last = maximization.objective[0, 1, [0, -1]]
    assert f"{first:.3g} → {last:.3g}" in shown
    content = re.search(r"base64,([^\"]+)", shown)[1]
    pixels = np.asarray(picture(base64.b64decode(content)))
    assert pixels.shape == (128, 128, 3) and np.array_equal(pixels[::16, ::16], maximization.images[0, 0])
    plotted = picture(maximization._repr_png_())
    assert plotted.format == "PNG" and plotted.width > plotted.height / 2
    assert len(np.unique(np.asarray(plotted.convert("L")))) > 10


def test_layer_names_are_escaped():
    maximization = us.maximize(layer(), 0, recipe=FEW)
    evil = Maximization("<script>x</script>", "am", False, maximization.generated)
    assert "<script>" not in evil._repr_html_() and "&lt;script&gt;" in evil._repr_html_()


def test_units_beyond_the_page_limit_are_counted(monkeypatch):
    monkeypatch.setattr(unit_views, "MOST", 2)
    shown = us.maximize(layer(), None, recipe=FEW)._repr_html_()
    assert shown.count("<img ") == 2 and "and 4 more units" in shown


def test_an_image_is_saved_in_the_requested_size(tmp_path):
    maximization = us.maximize(layer(), 2, recipe=FEW, seeds=(0, 1))
    maximization.save(tmp_path / "unit.png", size=448)
    saved = read(tmp_path / "unit.png")
    assert saved.size == (448, 448) and saved.mode == "RGB"
    assert np.array_equal(np.asarray(saved)[28::56, 28::56], maximization.images[0, 0])
    maximization.save(str(tmp_path / "other.png"), size=8, seed=1)
    assert np.array_equal(np.asarray(read(tmp_path / "other.png")), maximization.images[1, 0])
    with pytest.raises(us.UserError, match=r"unit\.jpg does not end in \.png"):
        maximization.save(tmp_path / "unit.jpg")


def test_several_images_are_saved_as_a_sheet(tmp_path):
    probe = us.Probe(nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU()), shape=(1, 8, 4), mean=0, std=1)
    maximization = us.maximize(probe["0"], recipe=FEW)
    maximization.save(tmp_path / "units.png", size=64)
    # Three in a row, each twice as high as wide, with a gap between.
    assert read(tmp_path / "units.png").size == (3 * 32 + 2 * 2, 2 * 64 + 2)


# --- a finished experiment -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_finished_experiment_is_loaded(finished):
    folder = finished.folder / "results/small"
    results = us.load(folder)
    assert len(results.units) == 12 and results.units["layer"].unique().tolist() == ["hidden1"]
    assert {"am", "iam"} <= set(results.layers["method"])
    assert results.names == [("hidden1", "am"), ("hidden1", "iam")]
    generated = results.images("hidden1", "iam")
    assert generated.images.shape[1] == 12 and generated.objective_name == "iam" and "<img" in generated._repr_html_()
    values = results.activations("hidden1")
    assert values.shape[1] == 12 and len(values) == 500
    # The network of the checkpoint responds to the stored images as is recorded.
    probe = results.probe()
    images = torch.from_numpy(generated.images[0]).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(
        probe["hidden1"].prefix()(images)[1].numpy(), generated.responses[0], rtol=1e-4, atol=1e-5
    )
    assert "<table" in results._repr_html_()
    with pytest.raises(us.UserError, match=r"no images of hidden1 by iamz\. Did you mean 'hidden1 by iam'\?"):
        results.images("hidden1", "iamz")
    with pytest.raises(us.UserError, match=r"no layer 'hidden2'\. Did you mean 'hidden1'\?"):
        results.activations("hidden2")
    with pytest.raises(us.UserError, match="Finished are: small"):
        us.load(finished.folder / "results/large")
