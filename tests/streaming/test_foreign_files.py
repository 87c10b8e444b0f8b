"""Files as other people have them: what each trouble is read as, or refused for, and that nothing goes in silence."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fraud.core.errors import DataError, MappingError
from fraud.core.records import DAY, Kind, Reject, Verdict
from streaming.files import table
from streaming.files.table import Table
from streaming.files.values import mapping
from streaming.files.values.rows import Row
from streaming.messages.money import Rates

COLUMNS = 'time = "time"\ncard = "card"\nmerchant = "shop"\namount = "amount"\nlabel = "bad"\n'
NOON = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()) * 10**9
NOON_THERE = datetime(2026, 1, 31, 12, tzinfo=UTC).replace(tzinfo=None)
RATES = Rates(rates={"USD": "0.9", "GBP": "1.2", "JPY": "0.006", "OMR": "2.4", "VND": "0.00004", "INR": "0.01"})


def using(more: str = "", columns: str = COLUMNS) -> mapping.Mapping:
    return mapping.parse(f"[columns]\n{columns}{more}", "t")


def held(path: Path, content: bytes, more: str = "", columns: str = COLUMNS) -> Table:
    path.write_bytes(content)
    return Table(path, using(more, columns), RATES)


def read(path: Path, content: bytes, more: str = "", columns: str = COLUMNS) -> list[Any]:
    return list(held(path, content, more, columns).rows())


def line(
    amount: str = "1", time: str = "2026-01-31T12:00:00Z", card: str = "c1", shop: str = "s1", bad: str = "0"
) -> str:
    return f"{time};{card};{shop};{amount};{bad}"


def csv(*lines: str, header: str = "time;card;shop;amount;bad") -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def amounts(path: Path, more: str, *written: str) -> list[Any]:
    found = read(path / "a.csv", csv(*(line(amount=each) for each in written)), more)
    return [item.tx.amount if isinstance(item, Row) else item.reason for item in found]


# Quotes and lines.


def test_quote_inside_a_field_is_text(tmp_path: Path) -> None:
    lines = [line(shop=f's{n} 19" screen' if n % 3 == 0 else f"s{n}") for n in range(40)]
    found = read(tmp_path / "a.csv", csv(*lines))
    assert [item.tx.merchant for item in found] == [f's{n} 19" screen' if n % 3 == 0 else f"s{n}" for n in range(40)]


def test_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    lines = [line(shop='"open' if n == 4 else f"s{n}") for n in range(40)]
    found = read(tmp_path / "a.csv", csv(*lines))
    assert [item.code for item in found if isinstance(item, Reject)] == ["csv"]
    assert [item.tx.merchant for item in found if isinstance(item, Row)] == [f"s{n}" for n in range(40) if n != 4]


def test_two_open_quotes_hide_no_line_between_them(tmp_path: Path) -> None:
    lines = [line(bad='"0' if n in (4, 9) else "0") for n in range(12)]
    found = read(tmp_path / "a.csv", csv(*lines))
    assert [item.position.offset for item in found if isinstance(item, Reject)] == [4, 9]
    assert len(found) == 12


def test_quoted_field_over_lines_is_one_row(tmp_path: Path) -> None:
    (row, other) = read(
        tmp_path / "a.csv",
        csv(line(shop='"first\nsecond; third"'), line()),
        columns=COLUMNS.replace('"shop"', '"card"'),
    )
    assert (row.tx.merchant, other.tx.merchant) == ("c1", "c1")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_are_read(tmp_path: Path, end: str) -> None:
    found = read(tmp_path / "a.csv", csv(line(), line(card="c2")).replace(b"\n", end.encode()))
    assert [item.tx.card for item in found] == ["c1", "c2"]


def test_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    one = b'\xef\xbb\xbf{"time":"2026-01-31T12:00:00Z","card":"c1","shop":"s","amount":1}\n'
    assert [type(item) for item in read(tmp_path / "a.jsonl", one * 1)] == [Row]
    (tmp_path / "m.toml").write_bytes(b"\xef\xbb\xbf[columns]\n" + COLUMNS.encode())
    assert mapping.load(str(tmp_path / "m.toml")).columns.card == "card"


def test_half_an_emoji_is_read_as_a_mark_of_replacement(tmp_path: Path) -> None:
    one = b'{"time":"2026-01-31T12:00:00Z","card":"c1","shop":"caf\\u00e9 \\ud83d","amount":1}\n'
    (row,) = read(tmp_path / "a.jsonl", one)
    assert row.tx.merchant == "caf\u00e9 \ufffd"


def test_names_with_wide_blanks_and_joining_marks_are_read_and_control_characters_named(tmp_path: Path) -> None:
    names = [
        "CAF\u00c9\u00a0PARIS",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f469\u200d\U0001f4bb shop",
        "a\x07b",
    ]
    *found, bad = read(tmp_path / "a.csv", csv(*(line(shop=name) for name in names)))
    assert [row.tx.merchant for row in found] == names[:3]
    assert "it holds U+0007" in bad.reason


# Columns.


def test_two_columns_of_one_name_are_refused_until_they_are_told_apart(tmp_path: Path) -> None:
    content = csv("2026-01-31;c1;10;99;0", header="time;card;amount;amount;bad")
    columns = COLUMNS.replace('merchant = "shop"\n', "")
    with pytest.raises(
        MappingError, match="'amount', but the file has 2 columns of that name: expected 'amount#1' or 'amount#2'"
    ):
        read(tmp_path / "a.csv", content, columns=columns)
    (row,) = read(tmp_path / "a.csv", content, columns=columns.replace('"amount"', '"amount#2"'))
    assert row.tx.amount == 9900


def test_several_columns_make_one_value(tmp_path: Path) -> None:
    columns = 'time = ["Year", "Month", "Day", "Time"]\ncard = ["User", "Card"]\namount = "Amount"\n'
    content = csv("0;1;2024;3;9;6:21;5", "0;11;2024;12;31;16:21;5", header="User;Card;Year;Month;Day;Time;Amount")
    first, second = read(tmp_path / "a.csv", content, '[time]\npattern = "%Y %m %d %H:%M"', columns)
    assert (first.tx.card, second.tx.card) == ("0|1", "0|11")
    assert first.tx.happened_at == int(datetime(2024, 3, 9, 6, 21, tzinfo=UTC).timestamp()) * 10**9


def test_paths_lead_into_json_objects(tmp_path: Path) -> None:
    columns = 'time = "at"\ncard = "payer.card.id"\namount = "a.b"\n'
    at = b'{"at":"2026-01-31T12:00:00Z"'
    one = at + b',"payer":{"card":{"id":"c9"}},"a.b":7,"a":{"b":8}}\n' + at + b"}\n"
    row, bad = read(tmp_path / "a.jsonl", one, columns=columns)
    assert (row.tx.card, row.tx.amount, bad.code) == ("c9", 700, "amount")


def test_constants_stand_for_columns_and_not_beside_them(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "a.csv", csv(line()), '[constants]\nchannel = "ecom"\nmcc = "5411"')
    assert (row.tx.channel, row.tx.mcc) == ("ecom", 5411)
    with pytest.raises(MappingError, match="merchant has the column 'shop' and the constant 'x'"):
        using('[constants]\nmerchant = "x"')
    with pytest.raises(MappingError, match=r"\[constants\] mcc 'shoe' is not a merchant category code"):
        read(tmp_path / "a.csv", csv(line()), '[constants]\nmcc = "shoe"')


@pytest.mark.parametrize("word", ["NULL", "\\N", "NaN", "n/a", "None", "-"])
def test_words_for_nothing_are_nothing(tmp_path: Path, word: str) -> None:
    columns = COLUMNS.replace('"shop"', '"bad"').replace("merchant", "device").replace('label = "bad"\n', "")
    row, card = read(tmp_path / "a.csv", csv(line(bad=word), line(card=word)), columns=columns)
    assert row.tx.device is None
    assert (card.code, "is a word for nothing" in card.reason) == ("card", True)
    (kept,) = read(tmp_path / "a.csv", csv(line(bad=word)), "[missing]\nwords = []", columns)
    assert kept.tx.device == word


def test_float_that_was_an_id_is_the_id_and_a_rounded_one_is_told_of(tmp_path: Path) -> None:
    file = held(tmp_path / "a.csv", csv(line(card="4000"), line(card="4000.0"), line(card="2.29E+15")))
    assert [row.tx.card for row in file.rows() if isinstance(row, Row)] == ["4000", "4000", "2.29E+15"]
    assert file.account.odd() == {"damaged": {"2.29E+15": 1}}


# Times.


@pytest.mark.parametrize(
    ("written", "how", "hour"),
    [
        ("1/31/26 12:00", 'pattern = "%m/%d/%y %H:%M"', 0),
        ("2026/01/31 12:00:00", 'pattern = "%Y/%m/%d %H:%M:%S"\nzone = "Europe/Berlin"', -1),
        ("2026-01-31 12:00:00", 'zone = "America/New_York"', 5),
        ("2026-01-31T12:00:00Z", 'zone = "America/New_York"', 0),
        ("30.5", 'unit = "d"\norigin = "2026-01-01"', 0),
        ("732", 'unit = "h"\norigin = "2026-01-01"', 0),
        ("43920", 'unit = "min"\norigin = "2026-01-01"', 0),
    ],
)
def test_times_are_read_as_they_are_written(tmp_path: Path, written: str, how: str, hour: int) -> None:
    (row,) = read(tmp_path / "a.csv", csv(line(time=written)), f"[time]\n{how}")
    assert row.tx.happened_at == NOON + hour * 3_600 * 10**9


def test_seconds_said_to_be_milliseconds_are_refused_unless_an_origin_is_said(tmp_path: Path) -> None:
    content = csv(line(time="1735689600"))
    (bad,) = read(tmp_path / "a.csv", content, '[time]\nunit = "ms"')
    assert "it would be of 1970-01-21; check [time] unit = 'ms'" in bad.reason
    (row,) = read(tmp_path / "a.csv", content, '[time]\nunit = "ms"\norigin = "2020-01-01"')
    assert row.tx.happened_at > NOON - 10 * 365 * DAY


def test_older_times_are_read_where_the_mapping_says_so(tmp_path: Path) -> None:
    content = csv(line(time="1993-05-01"))
    (bad,) = read(tmp_path / "a.csv", content)
    assert "expected 2000 to 2100; where the file is older, say [time] earliest" in bad.reason
    assert (
        len(
            [
                item
                for item in read(tmp_path / "a.csv", content, '[time]\nearliest = "1990-01-01"')
                if isinstance(item, Row)
            ]
        )
        == 1
    )


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ('zone = "Mars/Base"', "zone 'Mars/Base' is not known"),
        ('pattern = "%Y"\nunit = "s"', "has pattern '%Y' and unit 's'"),
        ('origin = "soon"', "origin: 'soon' is not ISO 8601"),
        ('origin = "1950-01-01"\nunit = "s"', "origin is 1950-01-01: expected 1970 to 2100"),
    ],
)
def test_time_that_a_mapping_cannot_mean_is_refused(tmp_path: Path, how: str, why: str) -> None:
    with pytest.raises(MappingError, match=why.replace("[", r"\[")):
        read(tmp_path / "a.csv", csv(line()), f"[time]\n{how}")


def in_parquet(path: Path, more: str = "", **columns: Any) -> Table:
    base = {"time": [NOON_THERE] * 3, "card": ["c"] * 3, "shop": ["s"] * 3, "amount": [1.0] * 3}
    parquet.write_table(pa.table({**base, "bad": [1, 1, 0], **columns}), path)
    return Table(path, using("", COLUMNS + more), RATES)


def test_dates_and_times_of_every_type_are_read_from_parquet(tmp_path: Path) -> None:
    midnight = NOON // DAY * DAY
    for kind in (pa.date32(), pa.date64()):
        file = in_parquet(tmp_path / "a.parquet", time=pa.array([date(2026, 1, 31)] * 3, kind))
        assert [item.tx.happened_at for item in file.rows() if isinstance(item, Row)] == [midnight] * 3
    for unit in ("s", "ms", "us", "ns"):
        file = in_parquet(tmp_path / "a.parquet", time=pa.array([NOON_THERE] * 3, pa.timestamp(unit)))
        assert [item.tx.happened_at for item in file.rows() if isinstance(item, Row)] == [NOON] * 3


def test_verdict_reported_at_the_end_of_time_is_not_known(tmp_path: Path) -> None:
    told = pa.array([date(9999, 12, 31), date(2999, 12, 31), date(2026, 2, 9)]).cast(pa.timestamp("us"))
    file = in_parquet(tmp_path / "a.parquet", 'label_time = "told"\n', told=told)
    rows = [item for item in file.rows() if isinstance(item, Row)]
    assert [row.verdict for row in rows] == [None, None, Verdict.GENUINE]
    assert file.account.odd() == {"never": {"9999-12-31T00:00:00": 1, "2999-12-31T00:00:00": 1}}
    far = in_parquet(tmp_path / "b.parquet", time=pa.array([date(5000, 1, 1)] * 3).cast(pa.timestamp("us")))
    assert {item.code for item in far.rows() if isinstance(item, Reject)} == {"time"}


def test_verdict_of_a_day_is_known_when_that_day_is_over(tmp_path: Path) -> None:
    columns = COLUMNS + 'label_time = "told"\n'
    header = "time;card;shop;amount;bad;told"
    content = csv(f"{line(bad='1')};2026-01-31", f"{line(bad='1')};2026-01-31T11:00:00Z", header=header)
    file = held(tmp_path / "a.csv", content, columns=columns)
    day, early = [item for item in file.rows() if isinstance(item, Row)]
    assert day.known_at == NOON // DAY * DAY + DAY - 1
    assert (early.verdict, early.known_at) == (Verdict.FRAUD, None)
    assert list(file.account.odd()) == ["early"]


# Amounts.


def test_thousands_are_read_where_they_are_said_and_refused_where_not(tmp_path: Path) -> None:
    comma, point = '[amount]\ndecimal = ","', '[amount]\ndecimal = ","\nthousands = "."'
    refused = amounts(tmp_path, comma, "1.234", "1.234,56", "12,5")
    assert "holds a '.', but [amount] says that decimals follow a ','" in refused[0]
    assert refused[2] == 1250
    assert amounts(tmp_path, point, "1.234", "1.234,56", "12,5", "1.234.567,00") == [
        123_400,
        123_456,
        1_250,
        123_456_700,
    ]
    assert "is not a number" in amounts(tmp_path, point, "1.23")[0]
    assert amounts(tmp_path, '[amount]\nthousands = ","\ncurrency = "INR"', "8,499,225.11", "12,34,567.50") == [
        849_922_511,
        123_456_750,
    ]
    assert amounts(tmp_path, '[amount]\nthousands = " "', "1 234.5", "1\u202f234.5") == [123_450, 123_450]


def test_signs_of_currencies_are_read_and_those_of_others_refused(tmp_path: Path) -> None:
    dollars = '[amount]\ncurrency = "USD"\nnegative = "refund"\nthousands = ","'
    assert amounts(tmp_path, dollars, "$134.09 ", "($99.00)", "$1,049.82", "-5", "USD 7", "7-") == [
        13_409,
        9_900,
        104_982,
        500,
        700,
        700,
    ]
    assert "has the sign '$', but the row's currency is EUR" in amounts(tmp_path, "", "$5")[0]
    assert "has the sign '£', but the row's currency is USD" in amounts(tmp_path, dollars, "£5")[0]
    assert amounts(tmp_path, "", "5 €", "€5") == [500, 500]


def test_negative_amounts_are_refunds_where_that_is_said(tmp_path: Path) -> None:
    content = csv(line("-5"), line("5"), line("-0"))
    assert [item.tx.kind for item in read(tmp_path / "a.csv", content, '[amount]\nnegative = "refund"')] == [
        Kind.REFUND, Kind.PAYMENT, Kind.PAYMENT,
    ]  # fmt: skip
    assert "say [amount] negative = 'refund'" in read(tmp_path / "a.csv", content)[0].reason


def test_minor_units_with_decimals_are_refused(tmp_path: Path) -> None:
    minor = '[amount]\nunit = "minor"'
    assert amounts(tmp_path, minor, "1234", "12.00") == [1234, 12]
    assert (
        "no whole number of minor units: where it counts whole units, say [amount] unit = 'major'"
        in amounts(tmp_path, minor, "12.34")[0]
    )


@pytest.mark.parametrize(
    ("code", "written", "base"),
    [("OMR", "1.234", 296), ("VND", "150000", 600), ("JPY", "1000", 600), ("GBP", "1.5", 180)],
)
def test_minor_digits_are_those_of_the_standard(tmp_path: Path, code: str, written: str, base: int) -> None:
    (row,) = read(tmp_path / "a.csv", csv(line(written)), f'[amount]\ncurrency = "{code}"')
    assert row.tx.base_amount == base


@pytest.mark.parametrize("written", ["usd", "840", "US Dollar", " USD "])
def test_currencies_are_read_by_code_number_and_name(tmp_path: Path, written: str) -> None:
    (row,) = read(tmp_path / "a.csv", csv(line(bad=written)), columns=COLUMNS.replace("label", "currency"))
    assert (row.tx.currency, row.tx.base_amount) == ("USD", 90)


def test_amount_beyond_a_billion_of_a_small_unit_is_read(tmp_path: Path) -> None:
    assert amounts(tmp_path, '[amount]\ncurrency = "VND"', "1500000000") == [1_500_000_000]
    assert "in the base currency: expected at most" in amounts(tmp_path, "", "15000000000")[0]


# Words.


def test_labels_in_words_are_understood_and_others_counted(tmp_path: Path) -> None:
    file = held(
        tmp_path / "a.csv", csv(*(line(bad=word) for word in ("Y", "no", "Yes", "confirmed fraud", "", "NULL")))
    )
    assert [row.verdict for row in file.rows() if isinstance(row, Row)] == [
        Verdict.FRAUD, Verdict.GENUINE, Verdict.FRAUD, None, None, None,
    ]  # fmt: skip
    assert file.account.odd() == {"label": {"confirmed fraud": 1}}
    assert file.account.figures() == {"read": 6, "rejects": {}, "unlabelled": 3}
    assert "say in the mapping's [label] what they mean" in file.account.sentences()[1]
    stated = held(tmp_path / "b.csv", csv(line(bad="confirmed"), line(bad="")), '[label]\nothers = "fraud"')
    assert [row.verdict for row in stated.rows() if isinstance(row, Row)] == [Verdict.FRAUD, None]


def test_kinds_and_channels_in_words_are_mapped(tmp_path: Path) -> None:
    columns = COLUMNS.replace('merchant = "shop"', 'channel = "shop"').replace('label = "bad"', 'kind = "bad"')
    more = '[kind]\nrefund = ["Rückerstattung"]\nothers = "payment"\n[channel]\necom = ["Online Transaction"]'
    content = csv(line(shop="online transaction", bad="rückerstattung"), line(shop="Swipe", bad="Kauf"))
    file = held(tmp_path / "a.csv", content, more, columns)
    refund, other = [item for item in file.rows() if isinstance(item, Row)]
    assert (refund.tx.kind, refund.tx.channel) == (Kind.REFUND, "ecom")
    assert (other.tx.kind, other.tx.channel) == (Kind.PAYMENT, "")
    assert file.account.odd() == {"kind": {"Kauf": 1}, "channel": {"Swipe": 1}}
    with pytest.raises(MappingError, match="means payment and refund"):
        using('[kind]\npayment = ["x"]\nrefund = ["X"]')


# Whole files.


def test_folder_is_read_file_by_file_and_rows_of_all_have_ids_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "export.parquet"
    folder.mkdir()
    for name in ("part-1.csv", "part-0.csv"):
        (folder / name).write_bytes(csv(line(card=name), line("x")))
    (folder / "_SUCCESS").write_bytes(b"")
    for path in (folder, folder / "part-*.csv"):
        found = list(Table(path, using()).rows())
        assert [item.tx.id for item in found if isinstance(item, Row)] == ["R000000000", "R000000002"]
        assert [(item.position.topic, item.position.offset) for item in found if isinstance(item, Reject)] == [
            ("part-0.csv", 1), ("part-1.csv", 1),
        ]  # fmt: skip


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("cut.csv.gz", cut(gzip.compress(csv(*[line(card=str(n * 7919)) for n in range(2_000)]))), "as gzip"),
        ("plain.csv.gz", csv(line()), "as gzip"),
        ("a.csv.xz", b"\xfd7zXZ\x00nonsense", "as xz"),
        ("a.csv", csv(line()).decode().encode("utf-16"), "is in UTF-16: expected UTF-8"),
        ("a.parquet", b"PAR1" + b"x" * 64 + b"PAR1", "as Parquet"),
        ("b.parquet", b"", "as Parquet"),
    ],
)
def test_damaged_file_is_told_of_in_one_sentence(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    with pytest.raises(DataError, match=why) as raised:
        read(tmp_path / name, content)
    assert "\n" not in str(raised.value)


def test_parquet_damaged_inside_is_told_of(tmp_path: Path) -> None:
    file = in_parquet(tmp_path / "a.parquet")
    content = bytearray(file.path.read_bytes())
    content[8:200] = b"\xff" * 192
    file.path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"cannot be read as Parquet"):
        list(file.rows())


def test_folder_without_payments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without a file named"):
        list(Table(tmp_path, using()).rows())


# Both readers say the same.

TIMES = ["1/31/26 12:00", "13/1/26 1:00", "1/31/26 12:00 ", "", "12/31/99 0:00"]
WRITTEN = [
    "1,234.50",
    "$5",
    "(5)",
    "-5",
    "5",
    "5.005",
    "1,23",
    "€4",
    "NULL",
    "",
    "1e3",
    "USD 5",
    "--5",
    "12345678901234567890",
]
WORDS = ["", "NULL", "Y", "maybe", "refund", "Kauf", "5411.0", "2.29E+15", "x\x01", "a b", "2026-01-31", "9999-12-31"]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_columns_give_the_same_as_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    columns = (
        'time = "t"\ncard = ["a", "b"]\nmerchant = "a"\namount = "n"\ndevice = "b"\ncurrency = "c"\nmcc = "m"\n'
        'kind = "k"\nchannel = "k"\nlabel = "l"\nlabel_time = "w"\ntext = ["a", "b"]\n'
    )
    more = (
        '[time]\npattern = "%m/%d/%y %H:%M"\nzone = "Europe/Berlin"\n[amount]\nthousands = ","\nnegative = "refund"\n'
        'currency = "USD"\n[kind]\nrefund = ["x"]\nothers = "payment"\n[channel]\npos = ["Y"]\n'
    )
    word = st.sampled_from(WORDS)
    times, few = st.sampled_from(TIMES), st.sampled_from(["", "EUR", "840", "XXX"])
    cells = {"t": times, "a": word, "b": word, "n": st.sampled_from(WRITTEN), "c": few, "m": word, "k": word, "l": word}
    rows = data.draw(st.lists(st.fixed_dictionaries({**cells, "w": st.one_of(times, word)}), min_size=1, max_size=6))
    parquet.write_table(
        pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]}), tmp_path / "a.parquet"
    )
    answers = []
    for small in (1, 10**9):
        with monkeypatch.context() as patch:
            patch.setattr(table, "SMALL", small)
            if small > 1:
                patch.setattr("streaming.files.values.columns.ColumnReader.read", refuse)
            file = Table(tmp_path / "a.parquet", using(more, columns), RATES)
            answers.append((list(file.rows()), file.account.snapshot()))
    assert answers[0] == answers[1]
    assert msgspec.json.encode(answers[0][1])


def refuse(*_: object) -> None:
    from streaming.files.values.cells import NotPlainError

    raise NotPlainError
