"""Ascent: known optima of linear layers, the identity of IAM, and that nothing depends on the order of work."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks_by_hand import Residual, linear, opened, quiet, tensors_alive
from torch import nn

from unitscope.data.sampling import select_units
from unitscope.errors import UserError
from unitscope.maximization.maximize import maximize
from unitscope.maximization.objectives import objective
from unitscope.maximization.parametrization import start_image
from unitscope.maximization.passes import share_of_multiplications, stages
from unitscope.maximization.recipe import Recipe
from unitscope.maximization.stopping import Race
from unitscope.scores.substitution import representative_substitution
from unitscope.storage.scratch import Scratch

SHAPE = (3, 8, 8)
FEW = Recipe(steps=12, points=4)


def generate(recipe=FEW, units=(0, 1, 2, 3), layer="conv1", module=None, **arguments):
    return maximize(opened(module or quiet(Residual()))[layer], np.array(units), recipe, **arguments)


def same(first, second):
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in vars(first))


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_am_on_a_linear_layer_reaches_the_corner_of_its_weights():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    bias = torch.full((4,), 3.0)
    generated = maximize(opened(linear(weight, bias), (3, 2, 2))["units"], np.arange(4), Recipe())
    for unit in range(4):
        corner = (weight[unit] > 0).float().view(3, 2, 2)
        image = torch.from_numpy(generated.images[0, unit]).permute(2, 0, 1) / 255
        assert torch.equal(image, corner)
        best = weight[unit].clamp(min=0).sum() + bias[unit]
        assert generated.responses[0, unit, unit] == pytest.approx(best.item(), rel=1e-6)


def test_iam_on_a_linear_layer_reaches_the_corner_of_the_weight_difference():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    bias = torch.full((4,), 30.0)  # Far from the ReLU's kink: the objective is linear.
    generated = maximize(opened(linear(weight, bias), (3, 2, 2))["units"], np.arange(4), Recipe(objective="iam"))
    for unit in range(4):
        others = torch.cat([weight[:unit], weight[unit + 1 :]]).mean(0)
        corner = (weight[unit] > others).float().view(3, 2, 2)
        assert torch.equal(torch.from_numpy(generated.images[0, unit]).permute(2, 0, 1) / 255, corner)


def test_identity_of_iam():
    values = torch.rand(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 3, 6, 2, 2])
    target_values = values[torch.arange(5), targets]
    expected = 7 / 6 * (target_values - values.mean(1))
    torch.testing.assert_close(objective("iam", values, values, targets), expected)


def test_iam_z_standardizes_and_leaves_out_units_that_never_vary():
    values = torch.tensor([[4.0, 1.0, 9.0, 5.0]])
    mean, std = torch.tensor([2.0, 0.0, 3.0, 5.0]), torch.tensor([2.0, 1.0, 3.0, 0.0])
    # Unit 0: (4 - 2) / 2 = 1; competitors 1 and 2: 1 and 2; unit 3 has no scale.
    value = objective("iam_z", values, values, torch.tensor([0]), (mean, std))
    torch.testing.assert_close(value, torch.tensor([1.0 - 1.5]))


def test_silent_units_follow_their_preactivation():
    before, after = torch.tensor([[-2.0, 3.0], [1.0, 0.5]]), torch.tensor([[0.0, 3.0], [1.0, 0.5]])
    assert objective("am", before, after, torch.tensor([0, 0])).tolist() == [-2.0, 1.0]


def test_initially_silent_unit_becomes_active():
    # 12 pixels at about 0.5 give -3 + 2.9: only the pre-activation has a gradient there.
    generated = maximize(opened(linear([[0.5] * 12], [-3.2]), (3, 2, 2))["units"], np.array([0]), Recipe(steps=64))
    assert generated.start_responses[0, 0, 0] == 0
    assert generated.responses[0, 0, 0] == pytest.approx(2.8, rel=1e-5)


def test_unit_that_no_image_activates_stays_silent():
    generated = maximize(opened(linear([[0.5] * 12], [-9.0]), (3, 2, 2))["units"], np.array([0]), Recipe(steps=64))
    assert generated.responses[0, 0, 0] == 0
    assert generated.preactivations[0, 0, 0] == pytest.approx(-3.0, rel=1e-5)


def test_minimum_of_a_linear_layer_is_the_opposite_corner():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    bias = torch.full((4,), 0.5)
    for target in ("preactivation", "activation"):
        recipe = Recipe(target=target, minimize=True)
        generated = maximize(opened(linear(weight, bias), (3, 2, 2))["units"], np.arange(4), recipe)
        for unit in range(4):
            corner = (weight[unit] < 0).float().view(3, 2, 2)
            assert torch.equal(torch.from_numpy(generated.images[0, unit]).permute(2, 0, 1) / 255, corner)
            least = weight[unit].clamp(max=0).sum() + bias[unit]
            assert generated.preactivations[0, unit, unit] == pytest.approx(least.item(), rel=1e-6)
            # Silent on its way down, where the ReLU has no gradient; what is recorded falls all the way.
            assert generated.responses[0, unit, unit] == 0
            assert generated.objective[0, unit, -1] == pytest.approx(least.item(), rel=1e-6)
            assert (np.diff(generated.objective[0, unit]) <= 1e-6).all()


def test_minimizing_iam_keeps_other_units_active():
    weight = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    bias = torch.full((4,), 30.0)
    recipe = Recipe(objective="iam", minimize=True)
    generated = maximize(opened(linear(weight, bias), (3, 2, 2))["units"], np.arange(4), recipe)
    for unit in range(4):
        others = torch.cat([weight[:unit], weight[unit + 1 :]]).mean(0)
        corner = (weight[unit] < others).float().view(3, 2, 2)
        assert torch.equal(torch.from_numpy(generated.images[0, unit]).permute(2, 0, 1) / 255, corner)


def test_rounding_of_a_minimum_is_measured_on_preactivations():
    # Unit 1 lies below unit 0 where the pixel is above 0.4995. The way ends at 0.4999, which is stored as 127 / 255.
    module = linear([[1.0], [-1.0]], [-2.0, -1.001])
    recipe = Recipe(minimize=True, start="grey", steps=1, learning_rate=1e-4, points=2)
    generated = maximize(opened(module, (1, 1, 1))["units"], np.array([0]), recipe)
    assert generated.images.ravel().tolist() == [127]
    assert generated.rounding.tolist() == [[-0.5]]
    assert (generated.responses == 0).all()


def test_minimization_allows_no_early_stopping():
    with pytest.raises(UserError, match="settled: 0"):
        Recipe(minimize=True, settled=4)


# --- what is stored --------------------------------------------------------------------------------------------------


def test_responses_can_be_recomputed_from_stored_images():
    module = quiet(Residual())
    generated = generate(module=module, seeds=(0, 5))
    pixels = torch.from_numpy(generated.images.reshape(-1, 8, 8, 3)).permute(0, 3, 1, 2).float() / 255
    before, after = opened(module)["conv1"].prefix("mean")(pixels)
    np.testing.assert_allclose(generated.responses.reshape(-1, 6), after.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(generated.preactivations.reshape(-1, 6), before.numpy(), rtol=1e-5, atol=1e-6)


def test_shapes_and_dtypes():
    generated = generate(seeds=(0, 5))
    assert generated.images.shape == (2, 4, 8, 8, 3)
    assert generated.images.dtype == np.uint8
    assert generated.responses.shape == generated.start_responses.shape == generated.preactivations.shape == (2, 4, 6)
    assert generated.responses.dtype == np.float32
    assert generated.steps.tolist() == [0, 4, 8, 12]
    assert generated.objective.shape == (2, 4, 4)
    assert generated.objective[..., 0].mean() < generated.objective[..., -1].mean()


def test_unbounded_pixels_are_stored_unchanged():
    generated = generate(replace(FEW, clamp=False, learning_rate=0.5))
    assert generated.images.dtype == np.float32
    assert generated.images.max() > 1.0
    assert (generated.rounding == 0).all()


def test_am_and_iam_start_from_the_same_image_and_seeds_and_units_from_others():
    first = start_image(Recipe(), 0, "conv1", 3, SHAPE)
    assert np.array_equal(first, start_image(Recipe(objective="iam"), 0, "conv1", 3, SHAPE))
    assert not np.array_equal(first, start_image(Recipe(), 1, "conv1", 3, SHAPE))
    assert not np.array_equal(first, start_image(Recipe(), 0, "conv1", 4, SHAPE))
    assert not np.array_equal(first, start_image(Recipe(), 0, "conv2", 3, SHAPE))
    assert 0.4 <= first.min() < 0.42 and 0.58 < first.max() <= 0.6


# --- invariance ------------------------------------------------------------------------------------------------------


def test_order_and_selection_of_units_change_nothing():
    whole = generate(units=(0, 1, 2, 3), batch=2)
    part = generate(units=(2, 3), batch=2)
    assert np.array_equal(whole.images[:, 2:], part.images)
    assert np.array_equal(whole.responses[:, 2:], part.responses)


def test_a_short_last_batch_changes_nothing():
    whole = generate(units=(0, 1, 2, 3, 4, 5), batch=4)
    assert np.array_equal(whole.images[:, 4:], generate(units=(4, 5), batch=4).images)


@pytest.mark.parametrize("name", ["am", "iam"])
def test_batch_size_changes_nothing_beyond_rounding(name):
    recipe = replace(FEW, objective=name)
    one, many = generate(recipe, batch=1), generate(recipe, batch=4)
    np.testing.assert_allclose(one.responses, many.responses, rtol=1e-3, atol=1e-4)
    assert np.abs(one.images.astype(int) - many.images.astype(int)).max() <= 2


class Interrupted(Scratch):
    """A scratch folder whose owner is interrupted when the second piece has been saved."""

    def save(self, name, content):
        super().save(name, content)
        if name == "000001.npz":
            raise KeyboardInterrupt


def test_interrupted_ascent_resumes_from_finished_images(tmp_path, monkeypatch):
    from unitscope.maximization import maximize

    expected = generate(units=range(6), batch=2)
    real, climbed = maximize.ascend, []

    def watched(forward, space, climbs, *arguments):
        climbs = list(climbs)
        climbed.append([climb.row for climb in climbs])
        return real(forward, space, climbs, *arguments)

    monkeypatch.setattr(maximize, "ascend", watched)
    with pytest.raises(KeyboardInterrupt):
        generate(units=range(6), batch=2, scratch=Interrupted(tmp_path / "scratch", "key"))
    resumed = generate(units=range(6), batch=2, scratch=Scratch(tmp_path / "scratch", "key"))
    assert same(resumed, expected)
    # A damaged piece, and what was kept after it, is made again.
    for name in ("000001.npz", "000000.npz"):
        (path,) = (tmp_path / "scratch").rglob(name)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        assert same(generate(units=range(6), batch=2, scratch=Scratch(tmp_path / "scratch", "key")), expected)
    assert climbed.pop() == [0, 1, 2, 3, 4, 5] and climbed.pop() == [2, 3, 4, 5]
    # Another setting never takes what was made for the first.
    generate(units=range(6), batch=2, scratch=Scratch(tmp_path / "scratch", "other key"))
    assert climbed == [[0, 1, 2, 3, 4, 5], [4, 5], [0, 1, 2, 3, 4, 5]]


# --- less arithmetic -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["am", "iam"])
def test_early_stopped_ascents_do_not_affect_others(objective):
    recipe = replace(FEW, objective=objective, steps=400, points=41)
    whole = generate(recipe, units=range(6), batch=2)
    early = generate(replace(recipe, settled=4), units=range(6), batch=2)
    alone = generate(replace(recipe, settled=4), units=[5], batch=2)
    assert np.array_equal(early.images[:, 5:], alone.images)
    # The course of one that ended early is flat from there on, and RS is what all steps give.
    assert (np.diff(early.objective[0, :, :-1]) == 0).any()
    full_rs, early_rs = (representative_substitution(each.responses[0], each.units) for each in (whole, early))
    assert np.ptp(full_rs) > 0
    np.testing.assert_array_equal(early_rs, full_rs)


def test_a_race_is_settled_once_no_unit_can_change_rank():
    recipe = replace(FEW, steps=100, points=11, settled=2)
    race = Race(recipe, 2)
    # The other unit lies 50 % ahead and loses 1 % in ten steps, of which nine are left: 18 % at twice the pace.
    assert [race.settled(0, np.array([1.0, 1.51]), 0, 0), race.settled(0, np.array([1.0, 1.5]), 0, 10)] == [False, True]
    # 3 % in ten steps would be 54 %.
    assert [race.settled(1, np.array([1.0, 1.53]), 0, 0), race.settled(1, np.array([1.0, 1.5]), 0, 10)] == [
        False,
        False,
    ]
    # What was seen of another image is forgotten; a silent target is not settled.
    race.forget([1])
    assert not race.settled(1, np.array([1.0, 1.5]), 0, 0)
    assert race.settled(1, np.array([1.0, 1.5]), 0, 10)
    assert not race.settled(1, np.array([0.0, 1.5]), 0, 20)
    assert not race.settled(1, np.array([1.0, 1.5]), 0, 30)


def test_early_stopping_tolerates_a_share_of_unsettled_units():
    strict, lenient = (Race(replace(FEW, steps=100, points=11, settled=2, unsettled=share), 1) for share in (0.2, 0.25))
    # Four are ahead, and one of them, or the one behind, may still change places.
    now = np.array([1.0, 1.5, 2.0, 2.0, 2.0, 0.9])
    for moving, before in ((1, 1.53), (5, 0.89)):
        then = now.copy()
        then[moving] = before
        for race, expected in ((strict, False), (lenient, True)):
            race.forget([0])
            assert not race.settled(0, then, 0, 0)
            assert race.settled(0, now, 0, 10) == expected
    # Where nobody is ahead, nobody may come.
    lenient.forget([0])
    assert not lenient.settled(0, np.array([1.0, 0.9]), 0, 0)
    assert not lenient.settled(0, np.array([1.0, 0.93]), 0, 10)


def test_bfloat16_starts_and_is_scored_in_float32():
    recipe = replace(FEW, steps=60)
    whole, half = generate(recipe), generate(replace(recipe, precision="bfloat16", float32_steps=20))
    rough = generate(replace(recipe, precision="bfloat16", float32_steps=0))
    assert not same(half, whole) and not same(half, rough)
    assert same(generate(replace(recipe, precision="bfloat16", float32_steps=60)), whole)
    assert same(generate(replace(recipe, float32_steps=20)), whole)
    first = whole.steps <= 20
    assert first.sum() > 1 and (~first).any()
    np.testing.assert_array_equal(half.objective[..., first][..., :-1], whole.objective[..., first][..., :-1])
    assert not np.allclose(rough.objective[..., first], whole.objective[..., first], rtol=1e-4)
    for generated in (half, rough):
        np.testing.assert_allclose(generated.objective[..., -1], whole.objective[..., -1], rtol=0.05)
        pixels = torch.from_numpy(generated.images[0]).permute(0, 3, 1, 2).float() / 255
        after = opened(quiet(Residual()))["conv1"].prefix("mean")(pixels)[1]
        np.testing.assert_allclose(generated.responses[0], after.numpy(), rtol=1e-5, atol=1e-6)


def test_cheap_layers_stay_in_float32():
    """Of the multiplications, the stem takes 3 x 6 channels, conv1 6 x 6 and conv2, in two groups, 6 x 3."""
    probe = opened(quiet(Residual()))
    convolutions = {"stem": 18, "conv1": 36, "conv2": 18}
    whole = 8 * 8 * 9 * sum(convolutions.values()) + 6 * 4
    taken = 0
    for layer, pairs in convolutions.items():
        taken += 8 * 8 * 9 * pairs
        assert share_of_multiplications(probe[layer]) == pytest.approx(taken / whole)
    assert share_of_multiplications(probe["fc"]) == 1
    half = replace(FEW, precision="bfloat16", float32_steps=5, float32_share=0.3)
    exact = replace(half, precision="float32")
    for layer, expected in {"stem": [(exact, 12)], "conv1": [(exact, 5), (half, 12)]}.items():
        assert stages(probe[layer], half) == expected
    assert same(generate(replace(half, float32_share=0.9)), generate(FEW))
    assert not same(generate(half), generate(FEW))


@pytest.mark.parametrize("changes", [{}, {"optimizer": "normalized_gradient"}, {"parametrization": "fourier"}])
def test_two_stage_ascent_equals_a_single_stage(changes, monkeypatch):
    recipe = replace(FEW, **changes)
    whole = generate(recipe, units=range(6), batch=2)
    monkeypatch.setattr("unitscope.maximization.passes.stages", lambda *_: [(recipe, 5), (recipe, recipe.steps)])
    assert same(generate(recipe, units=range(6), batch=2), whole)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_ascent_equals_eager():
    for name in ("am", "iam"):
        plain, compiled = (generate(replace(FEW, objective=name), compile=is_compiled) for is_compiled in (False, True))
        np.testing.assert_allclose(compiled.objective, plain.objective, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "gradient", "learning_rate": 5.0},
        {"optimizer": "normalized_gradient", "learning_rate": 0.5},
        {"start": "grey"},
        {"parametrization": "fourier"},
        {"parametrization": "fourier", "clamp": False},
        {"target": "preactivation"},
        {"jitter": 2},
        {"total_variation": 0.5},
        {"total_variation": 0.5, "minimize": True},
    ],
)
def test_every_option_increases_the_objective_deterministically(change):
    recipe = replace(FEW, steps=30, **change)
    first = generate(recipe)
    assert same(first, generate(recipe))
    up = -1 if recipe.minimize else 1
    assert (up * first.objective[..., -1] > up * first.objective[..., 0]).mean() >= 0.75
    assert not np.array_equal(first.images, generate(replace(FEW, steps=30)).images)


def test_fourier_starts_from_the_same_image():
    generated = generate(replace(FEW, steps=1, learning_rate=1e-6, parametrization="fourier"))
    plain = generate(replace(FEW, steps=1, learning_rate=1e-6))
    assert np.abs(generated.images.astype(int) - plain.images.astype(int)).max() <= 1


def test_total_variation_smooths():
    def roughness(generated):
        return np.abs(np.diff(generated.images.astype(int), axis=2)).mean()

    assert roughness(generate(replace(FEW, steps=60, total_variation=20.0))) < roughness(
        generate(replace(FEW, steps=60))
    )


# --- which units -----------------------------------------------------------------------------------------------------


def test_target_units():
    assert select_units("all", 4).tolist() == [0, 1, 2, 3]
    assert select_units([3, 1], 4).tolist() == [1, 3]
    sample = select_units({"sample": 5, "seed": 0}, 100)
    assert len(set(sample.tolist())) == 5 and sample.tolist() == sorted(sample.tolist())
    assert sample.tolist() != select_units({"sample": 5, "seed": 1}, 100).tolist()
    assert select_units({"sample": 9, "seed": 0}, 4).tolist() == [0, 1, 2, 3]


def test_empty_selection_of_units():
    some, none = generate(units=[1]), generate(units=np.zeros(0, np.int64))
    assert len(none.units) == 0 and np.array_equal(none.steps, some.steps)
    for name in vars(none).keys() - {"units", "steps"}:
        regular, empty = getattr(some, name), getattr(none, name)
        assert (empty.shape, empty.dtype) == ((1, 0, *regular.shape[2:]), regular.dtype), name


def test_unknown_unit_is_an_error():
    with pytest.raises(UserError, match="0 to 3"):
        select_units([4], 4)


def test_the_start_mean_needs_a_data_set():
    with pytest.raises(UserError, match="'mean' needs a data set"):
        generate(replace(FEW, start="mean"))


@pytest.mark.slow
@pytest.mark.usefixtures("only_new_objects")
def test_no_scored_batch_leaks_a_tensor():
    # Small ones between a batch's large ones cost VGG16 at 224 pixels 2 GiB in 320 images.
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.ReLU()).eval().requires_grad_(False)
    alive = tensors_alive(module[1])
    layer = opened(module)["1"]
    alive.clear()
    maximize(layer, np.arange(6), Recipe(steps=1, points=2), seeds=(0, 1, 2), batch=3)
    # After six passes that check the layer: as stored, the starts, before rounding, of 18 images in six batches.
    assert len(alive) == 6 + 18
    scored = alive[6:]
    # While a batch is computed, the one before is still there.
    assert all(len(set(scored[number::3][1:])) == 1 for number in range(3))


def test_images_are_generated_with_gradients_switched_off():
    expected = generate()
    with torch.no_grad():
        assert same(generate(), expected)


class HalfInside(nn.Module):
    """A network that computes its convolution in bfloat16 and its logits in float32."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            x = torch.relu(self.conv(x)).mean((2, 3))
        return self.fc(x.float())


@pytest.mark.parametrize("objective", ["am", "iam", "iam_z"])
def test_a_layer_in_bfloat16_gets_its_images(objective):
    scale = (np.ones(4, np.float32), np.ones(4, np.float32)) if objective == "iam_z" else None
    module = quiet(HalfInside())
    generated = generate(replace(FEW, objective=objective), layer="conv", module=module, scale=scale)
    values = vars(generated)
    assert {values[name].dtype.name for name in ("responses", "preactivations", "objective")} == {"float32"}
    pixels = torch.from_numpy(generated.images[0]).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_array_equal(
        generated.responses[0], opened(module)["conv"].prefix("mean")(pixels)[1].float().numpy()
    )
