"""Affine predictions of maps: against least squares on all values, and of units that are functions of others."""

import numpy as np
import pytest
import torch

from unitscope.interventions.affine_prediction import LayerMoments


@pytest.fixture(params=["maps", "tokens", "neurons"])
def activation(request):
    generator = torch.Generator().manual_seed(0)
    shape, axis = {"maps": ((20, 6, 4, 5), 1), "tokens": ((20, 7, 6), -1), "neurons": ((60, 6), -1)}[request.param]
    values = torch.rand(shape, generator=generator)
    # Unit 2 is a function of two others, unit 4 a copy of unit 0, unit 5 constant.
    values.select(axis, 2).copy_(2 * values.select(axis, 1) - 0.5 * values.select(axis, 3) + 0.25)
    values.select(axis, 4).copy_(values.select(axis, 0))
    values.select(axis, 5).fill_(0.3)
    return values, axis


def moments_of(values, axis, batches=3):
    moments = LayerMoments(6)
    for batch in values.tensor_split(batches):
        moments.add(batch, axis)
    return moments


def flat(values, axis):
    return values.movedim(axis, -1).flatten(0, -2).double().numpy()


def test_moments_are_those_of_all_images_and_positions(activation):
    values, axis = activation
    moments, rows = moments_of(values, axis), flat(values, axis)
    assert moments.count == len(rows)
    assert moments.mean == pytest.approx(rows.mean(axis=0))
    assert moments.covariance == pytest.approx(np.cov(rows.T, bias=True), abs=1e-12)
    alive = slice(0, 5)
    assert moments.correlation[alive, alive] == pytest.approx(np.corrcoef(rows[:, alive].T))
    assert np.isnan(moments.correlation[5]).all() and np.isnan(moments.correlation[:, 5]).all()


@pytest.mark.parametrize(("unit", "members"), [(0, [1, 3]), (3, [0, 1, 4]), (1, [0, 2, 3]), (0, [5])])
def test_predictions_are_least_squares_on_all_values(activation, unit, members):
    values, axis = activation
    prediction, rows = moments_of(values, axis).predict(unit, members), flat(values, axis)
    design = np.column_stack([rows[:, members], np.ones(len(rows))])
    fitted = design @ np.linalg.lstsq(design, rows[:, unit], rcond=None)[0]
    predicted = prediction.map(values, axis)
    assert predicted.shape == values.narrow(axis, 0, 1).shape
    assert flat(predicted, axis)[:, 0] == pytest.approx(fitted, abs=1e-5)
    explained = 1 - ((rows[:, unit] - fitted) ** 2).mean() / rows[:, unit].var()
    assert prediction.r2 == pytest.approx(explained, abs=1e-6)


def test_a_function_of_other_units_is_predicted_exactly(activation):
    values, axis = activation
    moments = moments_of(values, axis)
    sum_of_two = moments.predict(2, [3, 1])
    assert sum_of_two.coefficients == pytest.approx([-0.5, 2], abs=1e-5)
    assert sum_of_two.intercept == pytest.approx(0.25, abs=1e-5)
    assert sum_of_two.r2 == pytest.approx(1, abs=1e-6)
    copy = moments.predict(4, [0])
    assert copy.coefficients == pytest.approx([1], abs=1e-7) and copy.intercept == pytest.approx(0, abs=1e-7)


def test_a_constant_unit_is_predicted_by_its_constant(activation):
    values, axis = activation
    prediction = moments_of(values, axis).predict(5, [0, 1])
    assert np.isnan(prediction.r2)
    assert prediction.map(values, axis).numpy() == pytest.approx(0.3, abs=1e-6)
