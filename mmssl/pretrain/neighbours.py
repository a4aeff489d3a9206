"""What the nearest neighbours of a representation tell of a label: a probe
that costs nothing while an encoder trains.
"""

import torch
from torch import Tensor

from mmssl.stats.auc import roc_auc

COUNT = 20
_CHUNK = 1024  # test rows at a time


def nearest_neighbours_auc(
    z_train: Tensor,
    y_train: Tensor,
    z_test: Tensor,
    y_test: Tensor,
    count: int = COUNT,
) -> float:
    """ROC-AUC of the share of a class among the nearest training rows.

    Distances are cosine, of z centred by the training rows. With more than two
    classes, the mean over classes of one against the rest.

    Parameters
    ----------
    z_train, z_test : Tensor, shapes (n, d) and (m, d)
    y_train, y_test : Tensor of int64, shapes (n,) and (m,)
        Classes; rows labelled -1 take no part.
    count : int
        Neighbours, fewer where there are not as many training rows.

    Returns
    -------
    float
        NaN where the test rows hold fewer than two classes, or nobody of the
        training rows has a label.
    """
    labelled, tested = y_train >= 0, y_test >= 0
    z_train, y_train = z_train[labelled], y_train[labelled]
    z_test, y_test = z_test[tested], y_test[tested]
    classes = y_test.unique()
    if len(classes) < 2 or not len(y_train):
        return float("nan")
    centre = z_train.mean(0)
    first = torch.nn.functional.normalize(z_test - centre)
    second = torch.nn.functional.normalize(z_train - centre)
    nearest = []
    for part in first.split(_CHUNK):
        similarity = part @ second.T
        nearest.append(similarity.topk(min(count, len(y_train))).indices)
    votes = y_train[torch.cat(nearest)]  # (m, count)
    aucs = []
    for each in classes[1:] if len(classes) == 2 else classes:
        share = (votes == each).float().mean(1)
        aucs.append(roc_auc((y_test == each).long().numpy(), share.numpy()))
    return sum(aucs) / len(aucs)
