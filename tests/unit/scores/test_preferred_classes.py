"""The class that each unit prefers on either half of the images."""

import numpy as np

from unitscope.scores.preferred_classes import preferred_by_half


def test_each_half_prefers_a_class_by_its_images():
    labels, half = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    activations = np.array([[3.0, 0], [1, 0], [0, 0], [0, -1], [1, 0], [2, 5]])
    assert preferred_by_half(activations, labels, half).tolist() == [[0, -1], [2, 2]]


def test_a_class_without_images_in_a_half_is_not_preferred():
    labels, half = np.array([0, 3, 0]), np.array([0, 0, 1])
    activations = np.array([[1.0], [2.0], [1.0]])
    assert preferred_by_half(activations, labels, half).tolist() == [[3], [0]]
    assert preferred_by_half(activations[:2], labels[:2], half[:2]).tolist() == [[3], [-1]]
