"""Losses as the kernels have them: which they are, and their numbers."""

from clipper.engines.cpu.kernels import tables
from clipper.learning import objectives
from clipper.learning.value_losses import ClippedMSE, Huber, ValueLoss


def value_loss_numbers(loss: ValueLoss) -> tuple[int, float]:
    """Which value loss it is for the kernels, and its bound."""
    if isinstance(loss, Huber):
        return tables.HUBER, loss.delta
    return (tables.CLIPPED_MSE, loss.bound) if isinstance(loss, ClippedMSE) else (tables.MSE, 0.0)


def objective_numbers(objective: objectives.Objective | None) -> tuple[int, float, float]:
    """Which objective it is for the kernels, and its own numbers: α or c, and δ."""
    if isinstance(objective, objectives.DualClip):
        return tables.DUAL_CLIP, float(objective.c), 0.0
    if isinstance(objective, objectives.Rollback):
        return tables.ROLLBACK, float(objective.alpha), 0.0
    if isinstance(objective, objectives.TrustRegion):
        return tables.TRUST_REGION, 0.0, float(objective.delta)
    if isinstance(objective, objectives.TrustRegionRollback):
        return tables.TRUST_REGION_ROLLBACK, float(objective.alpha), float(objective.delta)
    kinds = {objectives.Clip: tables.CLIP, objectives.Unclipped: tables.UNCLIPPED, objectives.SPO: tables.SPO}
    return (tables.POLICY_GRADIENT if objective is None else kinds[type(objective)]), 0.0, 0.0
