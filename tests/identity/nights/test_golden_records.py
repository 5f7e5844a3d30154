"""Golden records: which of several statements about a person stands, and from which record it comes."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest
from identity_records import deliver
from memory_lake import MemoryLake

from identity import resolve
from identity.nights.golden import golden_records
from identity.rules.rules import ATTRIBUTES, GoldenRules, read_rules
from lakehouse.errors import SettingsInvalid

N1 = date(2026, 11, 18)
# source, key, verified, said on, name, city, born
SAID = """
core  1  yes  18  张伟    310000  -
app   9  no   20  张 伟   110000  1985-03-12
crm   4  no   20  小张    110000  1985-03-13
web   7  no   19  小张    -       -
core  2  yes  18  李娜    -       -
"""
PEOPLE = {"core/1": 1, "app/9": 1, "crm/4": 1, "web/7": 1, "core/2": 2}


def said():
    rows = []
    for number, line in enumerate(SAID.strip().splitlines()):
        source, key, verified, day, rest = line.split(maxsplit=4)
        *name, city, born = rest.split()
        row = dict.fromkeys(ATTRIBUTES) | {
            "full_name": " ".join(name), "residence_city": None if city == "-" else city,
            "birth_date": None if born == "-" else date.fromisoformat(born),
        }  # fmt: skip
        rows.append(
            row
            | {"one_id": PEOPLE[f"{source}/{key}"], "profile_id": 11 + number, "source": source, "source_key": key,
               "is_verified": verified == "yes", "valid_from": date(2026, 11, int(day)), "_feed": "f"}
        )  # fmt: skip
    kinds = {"birth_date": pa.date32(), "deceased_on": pa.date32()}
    text = [pa.field(name, kinds.get(name, pa.string())) for name in ATTRIBUTES]
    more = [("one_id", pa.int64()), ("profile_id", pa.int64()), ("source", pa.string()), ("source_key", pa.string()),
            ("is_verified", pa.bool_()), ("valid_from", pa.date32()), ("_feed", pa.string())]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema([*text, *more]))


def standing(**rules):
    """Name, city and birth date of person 1, each with the place of its record in the drawing."""
    for rows in (said(), said().take(pa.array([3, 1, 4, 0, 2]))):
        row = golden_records(rows, GoldenRules(**rules)).to_pylist()[0]
        told = [(row[n], row[f"{n}_profile_id"]) for n in ("full_name", "residence_city", "birth_date")]
        yield tuple((str(value), profile - 11) for value, profile in told)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, (("张伟", 0), ("310000", 0), ("1985-03-12", 1))),
        ({"by": ["most_recent"]}, (("张 伟", 1), ("110000", 1), ("1985-03-12", 1))),
        ({"by": ["most_frequent", "most_recent"]}, (("小张", 3), ("110000", 1), ("1985-03-12", 1))),
        (
            {"by": ["source_priority"], "sources": ["web", "crm"]},
            (("小张", 3), ("110000", 2), ("1985-03-13", 2)),
        ),
        (
            {"attributes": {"residence_city": ["most_recent"]}},
            (("张伟", 0), ("110000", 1), ("1985-03-12", 1)),
        ),
        ({"by": []}, (("张 伟", 1), ("110000", 1), ("1985-03-12", 1))),
    ],
)
def test_the_first_question_that_tells_statements_apart_decides_whatever_their_order(rules, expected):
    assert list(standing(**rules)) == [expected] * 2


def test_who_states_nothing_has_nulls_and_nobody_has_no_row():
    rows = golden_records(said(), GoldenRules())
    assert rows["one_id"].to_pylist() == [1, 2]
    li = rows.to_pylist()[1]
    assert (li["full_name"], li["residence_city"], li["residence_city_profile_id"]) == ("李娜", None, None)
    assert golden_records(said().slice(0, 0), GoldenRules()).num_rows == 0


@pytest.mark.slow
def test_a_night_writes_only_the_people_it_changed_and_keeps_what_was_believed(tmp_path):
    lake = MemoryLake(tmp_path)
    zhang = {"id": "core/1", "name": "张伟", "national_id": "110105198503121015", "phone": "13812340001"}
    app = {"id": "app/9", "name": "张 伟", "born": date(1985, 3, 12), "phone": "13812340001"}
    lone = {"id": "web/7", "kind": "anonymous", "email": "z@example.org", "name": "z"}

    def night(after, *records):
        deliver(lake, N1 + timedelta(days=after), list(records))
        resolve(lake, N1 + timedelta(days=after))
        rows = lake.read_arrow("identity.golden_records").to_pylist()
        return sorted(
            (r["full_name"], str(r["birth_date"]), r["valid_from"].day, r["valid_to"] and r["valid_to"].day)
            for r in rows
        )

    first = night(0, zhang, lone)
    assert first == [("z", "None", 18, None), ("张伟", "None", 18, None)]
    joined = [("z", "None", 18, None), ("张伟", "1985-03-12", 19, None), ("张伟", "None", 18, 19)]
    assert night(1, zhang, lone, app) == joined
    assert night(1, zhang, lone, app) == joined, "a rerun changes nothing"
    assert night(1, zhang, lone) == first, "a corrected file takes back what the night believed"
    assert night(2, {**zhang, "name": "张伟明"}, lone)[1:] == [
        ("张伟", "None", 18, 20),
        ("张伟明", "None", 20, None),
    ]
    (tmp_path / "identity.yml").write_text("golden: {by: [most_recent]}\n", encoding="utf-8")
    assert len(night(3, {**zhang, "name": "张伟明"}, lone)) == 3
    assert night(4, lone) == [("z", "None", 18, None), ("张伟", "None", 18, 20), ("张伟明", "None", 20, 22)]


def test_an_unknown_attribute_or_question_is_named_with_its_line(tmp_path):
    file = tmp_path / "identity.yml"
    file.write_text("golden:\n  attributes:\n    fullname: [verified]\n", encoding="utf-8")
    with pytest.raises(
        SettingsInvalid, match=r"identity.yml:3: 'fullname' is no attribute.*did you mean 'full_name'"
    ):
        read_rules(file)
    file.write_text("golden: {by: [newest]}\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="golden"):
        read_rules(file)
