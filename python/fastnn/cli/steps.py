"""The optimizers and learning-rate schedules of `fastnn train`, by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .arguments import UsageError

if TYPE_CHECKING:
    from ..optim import Optimizer
    from ..optim.lr_scheduler import LRScheduler
    from ..tensor import Parameter

# By name, the class in fastnn.optim, and the settings of a run for which another one is the default.
OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}),
    "rmsprop": ("RMSprop", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "adagrad": ("Adagrad", {"lr": 1e-2, "momentum": 0.0, "weight_decay": 0.0}),
    "adadelta": ("Adadelta", {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}),
    "adam": ("Adam", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "adamw": ("AdamW", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 1e-2}),
    "adamax": ("Adamax", {"lr": 2e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "nadam": ("NAdam", {"lr": 2e-3, "momentum": 0.0, "weight_decay": 0.0}),
    "radam": ("RAdam", {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
}
_WITH_MOMENTUM = ("sgd", "rmsprop")

SCHEDULES: dict[str, str] = {
    "constant": "stays",
    "cosine": "falls to 0 along half a cosine",
    "linear": "falls to 0 in a straight line",
    "step": "falls to a tenth after a half and after three quarters of the run",
    "onecycle": "rises for three tenths of the run and falls far",
    "plateau": "falls to a tenth where the training loss has not fallen for 2 epochs",
}
_WITHOUT_WARMUP = ("onecycle", "plateau")


def make_optimizer(settings: dict[str, Any], parameters: Iterable[Parameter]) -> Optimizer:
    """The optimizer of a run. UsageError where the settings do not go together."""
    from .. import optim

    name = settings["optimizer"]
    options = {"lr": settings["lr"], "weight_decay": settings["weight_decay"]}
    if name in _WITH_MOMENTUM:
        options["momentum"] = settings["momentum"]
    elif settings["momentum"]:
        raise UsageError(f"--momentum {settings['momentum']}: {name} has no momentum to set")
    optimizer: Optimizer = getattr(optim, OPTIMIZERS[name][0])(parameters, **options)
    return optimizer


def make_schedule(settings: dict[str, Any], optimizer: Optimizer, steps: int) -> LRScheduler | None:
    """The schedule of a run of so many steps, after a warm-up. UsageError where the settings do not go together."""
    name, warmup = settings["schedule"], settings["warmup"]
    if not warmup:
        return _schedule(name, optimizer, settings["lr"], steps)
    if name in _WITHOUT_WARMUP:
        raise UsageError(f"--warmup {warmup}: the schedule {name} takes none")
    if warmup >= steps:
        raise UsageError(f"--warmup {warmup}: the run has {steps} steps")
    from ..optim.lr_scheduler import LinearLR, SequentialLR

    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    after = _schedule(name, optimizer, settings["lr"], steps - warmup)
    return rise if after is None else SequentialLR(optimizer, [rise, after], [warmup])


def _schedule(name: str, optimizer: Optimizer, lr: float, steps: int) -> LRScheduler | None:
    from ..optim import lr_scheduler

    match name:
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, steps)
        case "linear":
            return lr_scheduler.PolynomialLR(optimizer, steps)
        case "step":
            return lr_scheduler.MultiStepLR(optimizer, [steps // 2, steps * 3 // 4])
        case "onecycle":
            return lr_scheduler.OneCycleLR(optimizer, lr, steps, cycle_momentum=False)
        case "plateau":
            return lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    return None
