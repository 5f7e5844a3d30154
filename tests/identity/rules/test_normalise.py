"""Normalisers, drawn as tables: what was delivered, what it is, why it is none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from identity.rules.names import comparable_names
from identity.rules.normalise import NORMALISERS, facts_of_national_ids, keyed, masked
from identity.rules.rules import read_rules

# normaliser | delivered | canonical | reason
VECTORS = [
    ("national_id", "11010519491231002X", "11010519491231002X", None),
    ("national_id", "11010519491231002x", "11010519491231002X", None),
    ("national_id", "１１０１０５１９４９１２３１００２ｘ", "11010519491231002X", None),
    ("national_id", " 110105-19491231-002X ", "11010519491231002X", None),
    ("national_id", "110105491231002", "11010519491231002X", None),
    ("national_id", "110105850312101", "110105198503121015", None),
    ("national_id", "110105194912310021", None, "check_digit"),
    ("national_id", "110105194913310027", None, "birth_date"),
    ("national_id", "990105850312101", None, "region"),
    ("national_id", "110105850230101", None, "birth_date"),
    ("national_id", "1101051949123100", None, "form"),
    ("national_id", "张伟", None, "form"),
    ("china_mobile", "13812345678", "13812345678", None),
    ("china_mobile", "+86 138-1234-5678", "13812345678", None),
    ("china_mobile", "008613812345678", "13812345678", None),
    ("china_mobile", "(86)138 1234 5678", "13812345678", None),
    ("china_mobile", "８６１３８１２３４５６７８", "13812345678", None),
    ("china_mobile", "013812345678", "13812345678", None),
    ("china_mobile", "12812345678", None, "form"),
    ("china_mobile", "010-62345678", None, "landline"),
    ("china_mobile", "+86 21 6234 5678", None, "landline"),
    ("china_mobile", "62345678", None, "landline"),
    ("china_mobile", "1381234567", None, "form"),
    ("international_phone", "+420 601 123 456", "+420601123456", None),
    ("international_phone", "00420601123456", "+420601123456", None),
    ("international_phone", "601123456", None, "form"),
    ("email", " Li.Na+Bank@Example.ORG ", "li.na+bank@example.org", None),
    ("email", "lina@example", None, "form"),
    ("email", "lina", None, "form"),
    ("passport", "e 12345678", "E12345678", None),
    ("passport", "PASSPORT", None, "form"),
    ("travel_permit", "h12345678", "H12345678", None),
    ("travel_permit", "12345678", "12345678", None),
    ("travel_permit", "none", None, "form"),
    ("credit_code", "91350100M000100Y43", "91350100M000100Y43", None),
    ("credit_code", "91350100M000100Y44", None, "check_digit"),
    ("credit_code", "91350100I000100Y43", None, "form"),
    ("bank_card", "4111 1111 1111 1111", "4111111111111111", None),
    ("bank_card", "4111111111111112", None, "check_digit"),
    ("bank_card", "411", None, "form"),
    ("device_id", "3F2504E0-4F89-41D3-9A0C-0305E82C3301", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", None),
    ("device_id", "short", None, "form"),
    ("platform_id", "oXyZ_12-ab", "oXyZ_12-ab", None),
    ("platform_id", "o x", None, "form"),
    ("exact", "  A-1 ", "A-1", None),
    ("exact", "   ", None, "empty"),
    ("lower_case", " A-1", "a-1", None),
]


@pytest.mark.parametrize(("normaliser", "delivered", "canonical", "reason"), VECTORS)
def test_a_value_becomes_its_canonical_form_or_a_reason(normaliser, delivered, canonical, reason):
    found = NORMALISERS[normaliser](pa.array([delivered]))
    assert (found.values[0].as_py(), found.reasons[0].as_py()) == (canonical, reason)


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_normalisers_stand_empty_input_and_are_at_rest_on_their_own_output(normaliser):
    assert len(NORMALISERS[normaliser](pa.array([], pa.string())).values) == 0
    delivered = pa.array([text for name, text, *_ in VECTORS if name == normaliser])
    once = NORMALISERS[normaliser](delivered).values.drop_null()
    assert NORMALISERS[normaliser](once).values.equals(once)


def test_an_identity_number_states_birth_date_and_gender():
    births, genders = facts_of_national_ids(pa.array(["11010519491231002X", "110105198503121015"]))
    assert pa.array(births).cast(pa.date32()).to_pylist()[0].isoformat() == "1949-12-31"
    assert pa.array(births).cast(pa.date32()).to_pylist()[1].isoformat() == "1985-03-12"
    assert genders.tolist() == [0, 1]


def test_masks_keep_little_and_keys_differ_by_namespace_and_key():
    assert masked("phone", pa.array(["13812345678"])).to_pylist() == ["138****5678"]
    assert masked("email", pa.array(["lina@example.org"])).to_pylist() == ["l***@example.org"]
    assert masked("national_id", pa.array(["11010519491231002X"])).to_pylist() == ["110***2X"]
    value = pa.array(["13812345678"])
    one, two = b"k" * 32, b"l" * 32
    assert keyed("phone", value, one).equals(keyed("phone", value, one))
    assert not keyed("phone", value, one).equals(keyed("phone", value, two))
    assert not keyed("phone", value, one).equals(keyed("fax", value, one))


# written | Chinese key | Latin key | surname | looks like a legal name
NAMES = [
    ("张 伟", "张伟", None, "张", True),
    ("张　伟", "张伟", None, "张", True),
    ("欧阳娜娜", "欧阳娜娜", None, "欧阳", True),
    ("买买提·艾力", "买买提艾力", None, None, False),
    ("李**", None, None, "李", True),
    ("Zhang Wei", None, "wei zhang", None, True),
    ("WEI, ZHANG", None, "wei zhang", None, True),
    ("Leo", None, "leo", None, False),
    ("小雨", "小雨", None, None, False),
    ("快乐的小鱼", "快乐的小鱼", None, None, False),
    ("王先生", None, None, None, False),
    ("微信用户", None, None, None, False),
    ("小鱼🐟", None, None, None, False),
    ("", None, None, None, False),
    (None, None, None, None, False),
]


@pytest.mark.parametrize(("written", "han", "latin", "surname", "looks_legal"), NAMES)
def test_names_tell_what_can_be_compared(written, han, latin, surname, looks_legal):
    found = comparable_names(pa.array([written], pa.string()), read_rules(Path("no identity.yml here")).names)
    told = [column[0].as_py() for column in (found.han, found.latin, found.surnames)]
    assert [*told, bool(found.looks_legal[0])] == [han, latin, surname, looks_legal]
