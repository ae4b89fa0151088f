"""Distances between the units of a layer by their responses to all units' images, and their dendrogram.

The extreme-activation distance of DORA (Bykov et al. 2023, "DORA: Exploring Outlier Representations in Deep Neural
Networks", TMLR): units whose responses are proportional have distance 0, units that share no image 0.71, and units of
opposite responses 1. A unit far from all others is an outlier representation. Arrays in, arrays out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform


@dataclass(frozen=True)
class Neighbourhoods:
    """The place of each unit among those of its layer, (units,); NaN for a unit that responds to no image.

    Attributes:
        nearest: Number of the nearest unit; of several, the lowest.
        nearest_distance: EA distance to it.
        mean_distance: Mean EA distance to all other units.
        position: Position among the leaves of the dendrogram (average linkage), from 0.
        join_height: Mean distance of the two clusters at which the dendrogram joins the unit and the next leaf; NaN for
            the last one. The dendrogram follows from positions and heights.
    """

    nearest: np.ndarray
    nearest_distance: np.ndarray
    mean_distance: np.ndarray
    position: np.ndarray
    join_height: np.ndarray


def ea_distances(responses: np.ndarray) -> np.ndarray:
    """Return the EA distance d(i, j) = sqrt((1 - cos(r_i, r_j)) / 2) of all pairs of units.

    Args:
        responses: (images, units), R; r_i is the column of unit i, its responses to all images.

    Returns:
        (units, units), symmetric, from 0 to 1; NaN for a unit whose responses are all 0.

    Example: the second unit is twice the first; the third responds to other images; the fourth is silent.
        >>> responses = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
        >>> ea_distances(responses).round(2)[0]
        array([0.  , 0.  , 0.71,  nan])
    """
    exact = responses.astype(np.float64)
    norms = np.linalg.norm(exact, axis=0)
    directions = exact / np.where(norms > 0, norms, np.nan)
    # Half the distance of the unit vectors is the same, and keeps its digits where 1 - cos has none left.
    distances = squareform(pdist(directions.T) / 2)
    np.fill_diagonal(distances, np.where(norms > 0, 0.0, np.nan))
    return distances


def neighbourhoods(responses: np.ndarray) -> Neighbourhoods:
    """Return the nearest unit, the mean distance and the place in the dendrogram of each unit.

    Args:
        responses: (seeds, images, units); the distances are those of the mean over seeds.
    """
    distances = ea_distances(responses.mean(0, dtype=np.float64))
    units = len(distances)
    defined = np.flatnonzero(np.isfinite(np.diag(distances)))
    result = Neighbourhoods(*(np.full(units, np.nan) for _ in range(5)))
    if len(defined) < 2:
        # A dendrogram of one leaf, without distances.
        result.position[defined] = 0
        return result
    between = distances[np.ix_(defined, defined)]
    result.mean_distance[defined] = between.sum(1) / (len(defined) - 1)
    others = np.where(np.eye(len(defined), dtype=bool), np.inf, between)
    result.nearest[defined] = defined[others.argmin(1)]
    result.nearest_distance[defined] = others.min(1)
    merges = linkage(squareform(between, checks=False), "average")
    leaves = leaves_list(merges)
    result.position[defined[leaves]] = np.arange(len(defined))
    result.join_height[defined[leaves[:-1]]] = _heights(merges, leaves)
    return result


def _heights(merges: np.ndarray, leaves: np.ndarray) -> np.ndarray:
    """Return the height at which neighbouring leaves of a dendrogram are joined, (leaves - 1,).

    Args:
        merges: (leaves - 1, 4), as `scipy.cluster.hierarchy.linkage` returns them.
        leaves: (leaves,) numbers of the leaves from left to right.
    """
    count = len(leaves)
    # Position of the last leaf of each cluster; a merge joins it and the first leaf of the cluster to its right.
    last = np.empty(2 * count - 1, np.int64)
    last[leaves] = np.arange(count)
    heights = np.empty(count - 1)
    for number, (left, right, height, _) in enumerate(merges, count):
        heights[last[int(left)]] = height
        last[number] = last[int(right)]
    return heights
