"""A sounddevice module that tests put in place of the real one: its devices do as they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


class PortAudioError(Exception):
    """What sounddevice raises for a device that errs."""


class FakeStream:
    """An opened device.

    Attributes:
        options: what it was opened with.
        calls: "start", "close", as they came.
        fails: names of the calls, or "active", that raise.
    """

    latency = 0.05

    def __init__(self, fails: set[str], **options: Any) -> None:
        if "open" in fails:
            raise PortAudioError("Error querying device -1")
        self.options, self.fails = options, fails
        self.calls: list[str] = []

    @property
    def active(self) -> bool:
        self._maybe_fail("active")
        return "close" not in self.calls

    def start(self) -> None:
        self.calls.append("start")
        self._maybe_fail("start")

    def close(self) -> None:
        self.calls.append("close")
        self._maybe_fail("close")

    def _maybe_fail(self, name: str) -> None:
        if name in self.fails:
            raise PortAudioError(f"Unanticipated host error in {name}")


class FakeSounddevice(ModuleType):
    """The module; `fails` may be changed at any time, and holds for devices that are open too."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.fails: set[str] = set()
        self.opened: list[tuple[str, FakeStream]] = []
        self.InputStream = self._opener("InputStream")
        self.OutputStream = self._opener("OutputStream")

    def _opener(self, kind: str) -> Callable[..., FakeStream]:
        def open_stream(**options: Any) -> FakeStream:
            stream = FakeStream(self.fails, **options)
            self.opened.append((kind, stream))
            return stream

        return open_stream


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    """Makes it what `import sounddevice` gives."""
    module = FakeSounddevice()
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module
