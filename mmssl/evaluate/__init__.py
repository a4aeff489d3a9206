"""What a frozen representation is worth: probes, tables of results, and what
else could explain them.
"""

from mmssl.evaluate.linear_evaluation import (
    PROTOCOLS,
    accuracy_table,
    finished_runs,
    probe,
    results_table,
)
from mmssl.evaluate.probes import (
    LogisticFit,
    linear_probe,
    logistic_regression,
)

__all__ = [
    "LogisticFit",
    "PROTOCOLS",
    "accuracy_table",
    "finished_runs",
    "linear_probe",
    "logistic_regression",
    "probe",
    "results_table",
]
