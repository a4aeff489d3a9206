"""What a frozen representation is worth: probes, tables of results, and what
else could explain them.
"""

from mmssl.evaluate.few_labels import (
    formatted_convergence,
    formatted_deviation,
    formatted_efficiency,
    worth_of_pretraining,
)
from mmssl.evaluate.finetune import Schedule, Target
from mmssl.evaluate.finetuned_robustness import (
    deviation_table,
    person_deviations,
)
from mmssl.evaluate.finetuned_runs import SCRATCH, fine_tuned
from mmssl.evaluate.label_efficiency import (
    convergence_table,
    curve_table,
    efficiency_table,
    score_table,
    worth_of_labels,
)
from mmssl.evaluate.lesion_attention import lesion_attention
from mmssl.evaluate.linear_evaluation import (
    PROTOCOLS,
    ProbeResults,
    accuracy_table,
    probe,
    rows_with_images,
)
from mmssl.evaluate.localisation import (
    HeatMap,
    detections,
    froc_table,
    heat_maps,
    localised_lesions,
)
from mmssl.evaluate.pretext import (
    contrast_table,
    known_people,
    pretext_answers,
    pretext_table,
    share_right,
    target_examples,
)
from mmssl.evaluate.principal_planes import (
    known_of_people,
    principal_planes,
)
from mmssl.evaluate.probability_deviation import (
    log_probabilities,
    relative_deviations,
)
from mmssl.evaluate.probes import (
    LogisticFit,
    linear_probe,
    logistic_regression,
)
from mmssl.evaluate.prototypes import (
    collapses,
    prototype_assignments,
    prototype_table,
)
from mmssl.evaluate.regression import (
    formatted_regression,
    probe_target,
    regression_table,
    rows_with_value,
    target_values,
)
from mmssl.evaluate.results import (
    formatted_results,
    load_probes,
    load_results,
    results_table,
    with_interval,
)
from mmssl.evaluate.run_histories import (
    last_validation,
    learned_above_chance,
    neighbour_curves,
)
from mmssl.evaluate.runs import (
    deviating_settings,
    finished_runs,
    runs_of_folds,
    supervised_runs,
    unreadable_runs,
)
from mmssl.evaluate.scale import (
    cost_exponents,
    cost_table,
    extrapolation,
    stage_costs,
    timed_fit,
)
from mmssl.evaluate.shortcuts import (
    augmented_views,
    matching_table,
    nuisance_table,
)
from mmssl.evaluate.slice_detection import (
    CompressedInput,
    detected_slices,
    slice_inputs,
    slice_table,
)
from mmssl.evaluate.training_choices import choice_differences

__all__ = [
    "CompressedInput",
    "HeatMap",
    "LogisticFit",
    "PROTOCOLS",
    "ProbeResults",
    "SCRATCH",
    "Schedule",
    "Target",
    "accuracy_table",
    "augmented_views",
    "choice_differences",
    "collapses",
    "contrast_table",
    "convergence_table",
    "cost_exponents",
    "cost_table",
    "curve_table",
    "detected_slices",
    "detections",
    "deviating_settings",
    "deviation_table",
    "efficiency_table",
    "extrapolation",
    "fine_tuned",
    "finished_runs",
    "formatted_convergence",
    "formatted_deviation",
    "formatted_efficiency",
    "formatted_regression",
    "formatted_results",
    "froc_table",
    "heat_maps",
    "known_of_people",
    "known_people",
    "last_validation",
    "learned_above_chance",
    "lesion_attention",
    "linear_probe",
    "load_probes",
    "load_results",
    "localised_lesions",
    "log_probabilities",
    "logistic_regression",
    "matching_table",
    "neighbour_curves",
    "nuisance_table",
    "person_deviations",
    "pretext_answers",
    "pretext_table",
    "principal_planes",
    "probe",
    "probe_target",
    "prototype_assignments",
    "prototype_table",
    "regression_table",
    "relative_deviations",
    "results_table",
    "rows_with_images",
    "rows_with_value",
    "runs_of_folds",
    "score_table",
    "share_right",
    "slice_inputs",
    "slice_table",
    "stage_costs",
    "supervised_runs",
    "target_examples",
    "target_values",
    "timed_fit",
    "unreadable_runs",
    "with_interval",
    "worth_of_labels",
    "worth_of_pretraining",
]
