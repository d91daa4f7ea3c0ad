"""Where data sets are looked for."""

from __future__ import annotations

import os


def search_roots(dataset: str, root: str | os.PathLike[str] | None, folder: str, hint: str = "") -> list[str]:
    """The folders to look in: `root`, or where it is None `$FASTNN_DATA_DIR` and its subfolder of that name.

    Raises:
        FileNotFoundError: there is neither; the message ends with the hint.
    """
    if root is not None:
        return [os.fspath(root)]
    if env := os.environ.get("FASTNN_DATA_DIR"):
        return [env, os.path.join(env, folder)]
    raise FileNotFoundError(f"{dataset}: no root is given and FASTNN_DATA_DIR is not set{hint}")
