"""A step of an objective in two processes, each of a part of the batch, as
distributed training takes it.
"""

import torch


def of_two_processes(made, folder):
    """What each of two processes has behind one step: a list of (total,
    gradients averaged over both, buffers).

    ``made`` is a function of a module, which gives for a rank the objective
    and its part of the batch.
    """
    torch.multiprocessing.spawn(_step, (made, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


def _step(rank, made, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    objective, batch = made(rank)
    total, _, ctx = objective(batch)
    total.backward()
    for term in objective.terms.values():
        term.after_step(ctx)
    gradients = []
    for parameter in objective.parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        if gradient is None:
            gradient = torch.zeros_like(parameter)
        torch.distributed.all_reduce(gradient)
        gradients.append(gradient / 2)
    buffers = dict(objective.named_buffers())
    torch.save((total.detach(), gradients, buffers), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()
