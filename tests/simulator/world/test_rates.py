"""Rates by name: three messes, single rates from a file, and an error with its line for every wrong file."""

from __future__ import annotations

import pytest

from lakehouse.errors import SettingsInvalid, UsageError
from simulator.world.rates import HEAVY, LIGHT, Rates, rates_of


def test_a_light_mess_has_less_of_each_trouble_and_a_heavy_one_more():
    default = Rates()
    assert all(getattr(rates_of("light"), name) < getattr(default, name) for name in LIGHT)
    assert all(getattr(rates_of("heavy"), name) > getattr(default, name) for name in HEAVY)
    assert rates_of() == default


def test_a_file_changes_single_rates_of_a_mess(tmp_path):
    path = tmp_path / "rates.yml"
    path.write_text("family_phone: 0.2\nstaff: 0\n")
    rates = rates_of("heavy", path)
    assert (rates.family_phone, rates.staff, rates.landline) == (0.2, 0.0, HEAVY["landline"])


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("staff: 0.1\nfamily_phon: 0.2\n", 2, "unknown rate 'family_phon'; did you mean 'family_phone'"),
        ("staff: 0.1\n\nlandline: 1.5\n", 3, "landline must lie between 0 and 1, not 1.5"),
        ("landline: -0.1\n", 1, "landline must lie between 0 and 1, not -0.1"),
        ("landline: many\n", 1, "landline must be a number from 0 to 1, not 'many'"),
        ("landline: yes\n", 1, "landline must be a number"),
        ("- landline\n", 1, "rates are written"),
        ("landline: 0.6\nmissing_phone: 0.6\n", None, "together must not exceed 1"),
    ],
)
def test_a_wrong_rate_is_refused_with_its_line(tmp_path, text, line, sentence):
    path = tmp_path / "rates.yml"
    path.write_text(text)
    with pytest.raises(SettingsInvalid, match=sentence) as error:
        rates_of("default", path)
    assert (error.value.line, error.value.file, error.value.exit_code) == (line, str(path), 2)


def test_an_unknown_mess_is_refused():
    with pytest.raises(UsageError, match="there is no mess 'heavi'; did you mean 'heavy'"):
        rates_of("heavi")
