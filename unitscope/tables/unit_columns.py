"""Columns of the scores of all units."""

from unitscope.scores.natural_columns import NaturalTable
from unitscope.scores.selectivity_columns import SelectivityTable
from unitscope.scores.substitution_columns import SubstitutionTable
from unitscope.storage.columns import Schema
from unitscope.storage.common_columns import Common
from unitscope.tables.ablation_columns import AblationTable


class UnitsTable(Schema, files=["results/{experiment}/units.csv"]):
    """One row per unit, all scores; a unit that a step left out has NaN there, 0 seeds and no substitutes."""

    experiment = Common.experiment
    network = Common.network
    layer = Common.layer
    depth = Common.depth
    unit = Common.unit
    dead = SelectivityTable.dead
    selectivity = SelectivityTable.selectivity
    top_class = SelectivityTable.top_class
    rs = SubstitutionTable.rs.per_method()
    rs_z = SubstitutionTable.rs_z.per_method()
    rs_q = SubstitutionTable.rs_q.per_method()
    ties = SubstitutionTable.ties.per_method()
    seeds = SubstitutionTable.seeds.per_method()
    substitutes = SubstitutionTable.substitutes.per_method()
    ablation_loss = AblationTable.ablation_loss
    ablation_accuracy = AblationTable.ablation_accuracy
    ablation_worst_class = AblationTable.ablation_worst_class
    ablation_loss_mean = AblationTable.ablation_loss_mean
    ablation_accuracy_mean = AblationTable.ablation_accuracy_mean
    ablation_worst_class_mean = AblationTable.ablation_worst_class_mean
    selectivity_permuted = SelectivityTable.selectivity_permuted
    selectivity_half0 = SelectivityTable.selectivity_half0
    selectivity_half1 = SelectivityTable.selectivity_half1
    ablation_loss_half0 = AblationTable.ablation_loss_half0
    ablation_loss_half1 = AblationTable.ablation_loss_half1
    class_information = SelectivityTable.class_information
    class_information_permuted = SelectivityTable.class_information_permuted
    ablation_loss_mean_half0 = AblationTable.ablation_loss_mean_half0
    ablation_loss_mean_half1 = AblationTable.ablation_loss_mean_half1
    rs_natural = NaturalTable.rs_natural.optional()
    rs_z_natural = NaturalTable.rs_z_natural.optional()
    rs_q_natural = NaturalTable.rs_q_natural.optional()
    ablation_loss_resample = AblationTable.ablation_loss_resample.optional()
    ablation_accuracy_resample = AblationTable.ablation_accuracy_resample.optional()
    ablation_worst_class_resample = AblationTable.ablation_worst_class_resample.optional()
    ablation_loss_optimal = AblationTable.ablation_loss_optimal.optional()
    ablation_accuracy_optimal = AblationTable.ablation_accuracy_optimal.optional()
    ablation_worst_class_optimal = AblationTable.ablation_worst_class_optimal.optional()
    optimal_constant = AblationTable.optimal_constant.optional()
    ablation_loss_mean_half0 = AblationTable.ablation_loss_mean_half0
    ablation_loss_mean_half1 = AblationTable.ablation_loss_mean_half1
    ablation_loss_resample_half0 = AblationTable.ablation_loss_resample_half0.optional()
    ablation_loss_resample_half1 = AblationTable.ablation_loss_resample_half1.optional()
    ablation_loss_optimal_half0 = AblationTable.ablation_loss_optimal_half0.optional()
    ablation_loss_optimal_half1 = AblationTable.ablation_loss_optimal_half1.optional()
    own_class_damage = AblationTable.own_class_damage
    specificity = AblationTable.specificity
    worst_class = AblationTable.worst_class
    own_class_damage_mean = AblationTable.own_class_damage_mean
    specificity_mean = AblationTable.specificity_mean
    worst_class_mean = AblationTable.worst_class_mean
    own_class_damage_resample = AblationTable.own_class_damage_resample.optional()
    specificity_resample = AblationTable.specificity_resample.optional()
    worst_class_resample = AblationTable.worst_class_resample.optional()
    own_class_damage_optimal = AblationTable.own_class_damage_optimal.optional()
    specificity_optimal = AblationTable.specificity_optimal.optional()
    worst_class_optimal = AblationTable.worst_class_optimal.optional()
    auc = SelectivityTable.auc
    auc_class = SelectivityTable.auc_class
    auc_p = SelectivityTable.auc_p
    auc_q = SelectivityTable.auc_q
    auc_heldout = SelectivityTable.auc_heldout
    informedness = SelectivityTable.informedness
    hit_rate_fa05 = SelectivityTable.hit_rate_fa05
    precision_at_k = SelectivityTable.precision_at_k
    d_prime = SelectivityTable.d_prime
    lifetime_sparseness = SelectivityTable.lifetime_sparseness
    label_entropy = SelectivityTable.label_entropy
    selectivity_corrected = SelectivityTable.selectivity_corrected
    rs_r = SubstitutionTable.rs_r.per_method()
    substitutes_z = SubstitutionTable.substitutes_z.per_method()
    substitutes_q = SubstitutionTable.substitutes_q.per_method()
    substitutes_r = SubstitutionTable.substitutes_r.per_method()
    exceeders = SubstitutionTable.exceeders.per_method()
