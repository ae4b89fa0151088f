"""Columns of class selectivity, detection measures, sparseness and class information."""

from unitscope.storage.columns import Schema, flag, number, text
from unitscope.storage.common_columns import Common


class SelectivityTable(Schema, files=["results/{experiment}/selectivity.csv"]):
    """One row per unit."""

    layer = Common.layer
    unit = Common.unit
    dead = flag()
    """Whether no image activates the unit."""
    selectivity = number("share")
    """Class selectivity over the test images, (largest class mean - mean of the others) / (their sum); CCMAS in Gale et
    al. (2020).
    """
    top_class = text()
    """Name of the class with the largest mean activation; empty where selectivity is undefined."""
    selectivity_permuted = number("share")
    """Mean class selectivity under randomly permuted labels."""
    selectivity_half0 = number("share")
    """Class selectivity on the first half of the test images."""
    selectivity_half1 = number("share")
    """Class selectivity on the second half of the test images."""
    class_information = number("bits")
    """Mutual information of the class and the binned activation."""
    class_information_permuted = number("bits")
    """Mean class information under randomly permuted labels."""
    auc = number("share")
    """AUC, the area under the ROC curve, of the class that the unit detects best."""
    auc_class = text()
    """Name of the class with the largest AUC; empty where no AUC is above 0.5."""
    auc_p = number("1")
    """One-sided p value of this AUC (Mann-Whitney, with ties), multiplied by the number of classes."""
    auc_q = number("1")
    """The same, adjusted over the living units of the layer (Benjamini and Hochberg 1995)."""
    auc_heldout = number("share")
    """AUC of the class that is chosen on the other half of the test images, mean of both halves."""
    informedness = number("1")
    """Largest hit rate minus false-alarm rate over all thresholds, for auc_class."""
    hit_rate_fa05 = number("share")
    """Hit rate at 5 % false alarms, for auc_class."""
    precision_at_k = number("share")
    """Share of auc_class among the k test images that activate the unit most, k the number of its images."""
    d_prime = number("1")
    """Difference of the mean activations on auc_class and on all other images, in units of their standard deviation."""
    lifetime_sparseness = number("share")
    """Unevenness of the unit's responses over the test images: 0 if all are equal, 1 if it responds to one image."""
    label_entropy = number("bits")
    """Entropy of the classes' shares in the unit's total response."""
    selectivity_corrected = number("1")
    """Class selectivity with the preferred class chosen on one half of the test images and measured on the other."""
