"""The kernels' object files: no code of one instruction set may stand in for another's.

A weak symbol of the same name in two objects is merged by the linker. If the kept copy is that of AVX-512, the other
tables crash on older processors; if it is the baseline's, all of them are slow.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

OBJECTS = sorted(Path(__file__).parent.parent.glob("build/*/CMakeFiles/fastnn_kernels_*.dir/csrc/kernels/*.o"))


def symbols_seen_by_the_linker(path):
    """Names of the defined symbols that are not local to the object file."""
    lines = subprocess.run(
        ["nm", "--defined-only", "--format=posix", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    entries = [line.split()[:2] for line in lines]
    return {name for name, kind in entries if kind.isupper() or kind in ("u", "v", "w")}


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512", "neon"])
def test_symbols_of_kernels_stand_in_the_namespace_of_their_instruction_set(isa):
    if not shutil.which("nm"):
        pytest.skip("nm (binutils) is not installed")
    objects = [path for path in OBJECTS if f"fastnn_kernels_{isa}.dir" in path.parts]
    if not objects:
        pytest.skip(f"no object files of {isa} in build/")
    newest = max(objects, key=lambda path: path.stat().st_mtime).parent
    objects = [path for path in objects if path.parent == newest]  # not what older builds have left
    namespace = f"6fastnn{len(isa)}{isa}"  # as C++ name mangling spells fastnn::<isa>
    stray = {
        f"{path.name}: {name}"
        for path in objects
        for name in symbols_seen_by_the_linker(path)
        if not re.search(namespace, name)
    }
    assert not stray
    assert any(namespace in name for path in objects for name in symbols_seen_by_the_linker(path))
