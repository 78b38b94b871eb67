"""How the kernels of this package are compiled: once, into a cache on disk that knows when it is out of date.

Numba keeps a compiled function while the file it stands in is unchanged, and does not notice that a function which it
calls, in another file, has changed. Here every cached function carries a stamp of the whole package.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _stamp() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


STAMP = _stamp()


def kernel(function: F) -> F:
    """Compiles a function on first use, or loads it from the cache if no file of this package changed since."""
    dispatcher = numba.njit(cache=True, fastmath=True, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = STAMP
    return dispatcher
