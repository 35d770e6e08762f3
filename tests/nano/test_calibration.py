from __future__ import annotations

import random

import gguf
import pytest

from debugger.predicted.confidence import calibrated
from nano.calibrate import write_temperature
from nano.calibration import Judged, bins, calibration_error, fit_temperature, plot
from quant.gguf_file import TEMPERATURE_KEY, read_gguf


def judged(overconfidence: float) -> list[Judged]:
    """Values whose truth follows their probability, from a model that is too sure by the given temperature."""
    rng = random.Random(1)
    truths = [rng.random() for _ in range(4000)]
    return [Judged(calibrated(truth, 1 / overconfidence), rng.random() < truth) for truth in truths]


def test_a_model_that_is_right_as_often_as_it_says_has_hardly_any_error():
    assert calibration_error(judged(1.0)) < 0.03
    assert fit_temperature(judged(1.0)) == pytest.approx(1.0, rel=0.08)


def test_a_model_that_is_too_sure_is_found_out_and_mended():
    too_sure = judged(3.0)
    assert calibration_error(too_sure) > 0.1
    temperature = fit_temperature(too_sure)
    assert temperature == pytest.approx(3.0, rel=0.08)
    assert calibration_error(too_sure, temperature) < 0.03


def test_the_error_of_a_hand_made_case():
    values = [Judged(0.9, True), Judged(0.9, False), Judged(0.1, False)]
    assert [(each.count, round(each.confidence, 3), each.right) for each in bins(values)] == [
        (1, 0.1, 0.0),
        (2, 0.9, 0.5),
    ]
    assert calibration_error(values) == pytest.approx((0.1 + 2 * 0.4) / 3)


def test_the_diagram_is_written(tmp_path):
    path = tmp_path / "reliability.svg"
    plot(path, judged(2.0), 2.0, "a model")
    assert "<svg" in path.read_text()


def test_a_temperature_is_written_into_a_gguf(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "granite_swa")
    writer.add_float32(TEMPERATURE_KEY, 1.0)
    writer.add_name("kept")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_temperature(path, 1.75)
    assert read_gguf(path).metadata[TEMPERATURE_KEY] == 1.75
    assert read_gguf(path).metadata["general.name"] == "kept"


def test_a_gguf_without_a_temperature_is_refused(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "granite_swa")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="convert its checkpoint again"):
        write_temperature(path, 2.0)
