"""Fixtures of the recorder's tests."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings
from recorder_kit import need_compiled

from recorder.packer import is_compiled

# A machine that is busy with something else makes no test fail.
settings.register_profile("reel", deadline=None)
settings.load_profile("reel")


@pytest.fixture(params=["compiled", "python"])
def packer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the compiled packer, and again with its twin in Python."""
    if request.param == "compiled":
        need_compiled()
    else:
        monkeypatch.setitem(sys.modules, "recorder._packer", None)
        monkeypatch.delattr("recorder._packer", raising=False)
        assert not is_compiled()
    return request.param
