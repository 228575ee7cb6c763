"""Runs here get the engine that their settings ask for."""

import pytest
from unwritten import fill_unwritten


@pytest.fixture(autouse=True)
def as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")


@pytest.fixture(autouse=True)
def memory_that_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_unwritten(monkeypatch)
