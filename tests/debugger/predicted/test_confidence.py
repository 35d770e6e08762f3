from __future__ import annotations

import pytest

from debugger.predicted.confidence import calibrated


def test_a_temperature_of_one_changes_nothing():
    assert calibrated(0.3, 1.0) == pytest.approx(0.3)


def test_a_higher_temperature_makes_humbler_and_a_lower_one_surer():
    assert calibrated(0.9, 2.0) == pytest.approx(0.75)
    assert 0.9 < calibrated(0.9, 0.5) < 1
    assert calibrated(0.1, 2.0) == pytest.approx(0.25)
    assert calibrated(0.5, 3.0) == pytest.approx(0.5)


def test_certainty_stays_a_probability():
    assert 0.99 < calibrated(1.0, 1.0) < 1
    assert 0 < calibrated(0.0, 1.0) < 0.01
