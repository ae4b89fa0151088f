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
