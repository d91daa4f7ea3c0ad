"""`fastnn.functional` under the name that PyTorch users know."""

from ..functional import *  # noqa: F403
from ..functional import __all__ as __all__
