"""Events as objects of the application's classes: what they become, what comes back, and what is refused."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from inspect import signature
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esdb_lite import EventTypes, EventValueError, InvalidArgument, NewEvent, RecordedEvent, WrongArgumentType

Sku = NewType("Sku", str)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Line:
    sku: Sku
    count: int = 1


@dataclass(frozen=True)
class Everything:
    text: str
    number: float
    flag: bool
    id: UUID
    price: Decimal
    at: datetime
    day: date
    clock: time
    lasts: timedelta
    raw: bytes
    colour: Colour
    level: Level
    lines: list[Line]
    pair: tuple[int, str]
    tags: frozenset[str]
    counts: Mapping[str, int]
    choice: Literal["a", 1]
    maybe: Line | None
    either: UUID | int | str
    marked: Annotated[int, "of something"]
    anything: Any
    parent: Everything | None = None
    many: Sequence[int] = field(default_factory=tuple)


def an_event(type: str, data: bytes, metadata: bytes = b"") -> RecordedEvent:
    return RecordedEvent(type, data, metadata, "order-1", 7, 100)


def stored(event: NewEvent) -> RecordedEvent:
    return RecordedEvent(event.type, event.data, event.metadata, "order-1", 0, 1, content_type=event.content_type)


def types_of(kind: type, **options: Any) -> EventTypes:
    types = EventTypes()
    types.register("It", **options)(kind)
    return types


def everything(**changes: Any) -> Everything:
    values: dict[str, Any] = {
        "text": "ü",
        "number": 2.5,
        "flag": True,
        "id": uuid4(),
        "price": Decimal("1.10"),
        "at": datetime(2026, 11, 30, 12, 1, 2, 345678, timezone.utc),
        "day": date(2026, 11, 30),
        "clock": time(12, 1),
        "lasts": timedelta(days=1, microseconds=5),
        "raw": b"\x00\xff",
        "colour": Colour.BLUE,
        "level": Level.HIGH,
        "lines": [Line(Sku("a")), Line(Sku("b"), 3)],
        "pair": (1, "x"),
        "tags": frozenset({"x", "y"}),
        "counts": {"a": 1},
        "choice": 1,
        "maybe": None,
        "either": 5,
        "marked": 4,
        "anything": {"a": [1, None]},
        "many": (1, 2),
    }
    return Everything(**{**values, **changes})


def test_everything_comes_back() -> None:
    types = types_of(Everything)
    value = everything(parent=everything(maybe=Line(Sku("c"))), either=uuid4())
    event = types.new_event(value)
    assert (event.type, event.metadata, event.content_type) == ("It", b"", "application/json")
    assert types.value(stored(event)) == value


def test_what_is_written() -> None:
    types = types_of(Line)
    assert types.new_event(Line(Sku("a"))).data == b'{"sku":"a","count":1}'
    own = uuid4()
    event = types.new_event(Line(Sku("a")), metadata={"who": "me"}, id=own)
    assert (event.id, event.metadata) == (own, b'{"who":"me"}')


@given(st.builds(Line, sku=st.text().map(Sku), count=st.integers(-(2**60), 2**60)))
def test_any_line(line: Line) -> None:
    types = types_of(Line)
    assert types.value(stored(types.new_event(line))) == line


def test_classes_may_grow() -> None:
    types = types_of(Line)
    assert types.value(an_event("It", b'{"sku":"a","unknown":1}')) == Line(Sku("a"), 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"{}", "Line: sku: is missing"),
        (b'{"sku":1}', "Line: sku: must be a text, not 1"),
        (b'{"sku":"a","count":"1"}', "Line: count: must be an integer, not '1'"),
        (b'{"sku":"a","count":true}', "Line: count: must be an integer, not True"),
        (b"[]", "Line: must be an object with the fields of Line"),
        (b"{", "Expecting property name"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_data_that_do_not_fit(data: bytes, what: str) -> None:
    types = types_of(Line)
    with pytest.raises(EventValueError, match=what) as caught:
        types.value(an_event("It", data))
    assert "It 7@order-1" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "microsecond"), [("1999-01-02T03:04:05.1234567Z", 123456), ("1999-01-02T03:04:05.5+00:00", 500000)]
)
def test_times_of_other_languages(text: str, microsecond: int) -> None:
    @dataclass
    class At:
        at: datetime

    types = types_of(At)
    value = types.value(an_event("It", f'{{"at":"{text}"}}'.encode()))
    assert isinstance(value, At)
    assert value.at == datetime(1999, 1, 2, 3, 4, 5, microsecond, timezone.utc)


def test_other_types_stay_readable() -> None:
    types = types_of(Line)
    assert types.value(an_event("Other", b'{"a":1}')) == {"a": 1}
    assert types.value(an_event("Other", b"\x00")) == b"\x00"
    raw = RecordedEvent("Other", b"{}", b"", "order-1", 7, 100, content_type="application/octet-stream")
    assert types.value(raw) == raw.value == b"{}"
    assert an_event("It", b'{"sku":"a"}').value == {"sku": "a"}


def test_versions() -> None:
    types = types_of(Line, version=3, aliases=["LineAdded"])

    @types.upcaster("It", version=1)
    def second(data: dict[str, Any]) -> dict[str, Any]:
        data["sku"] = data.pop("article")
        return data

    @types.upcaster("It", version=2)
    def third(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "count": data["count"] + 1}

    event = types.new_event(Line(Sku("a")), metadata={"who": "me"})
    assert event.metadata == b'{"who":"me","eventVersion":3}'
    assert types.value(stored(event)) == Line(Sku("a"))
    assert types.value(an_event("LineAdded", b'{"article":"b","count":1}')) == Line(Sku("b"), 2)
    assert types.value(an_event("It", b'{"sku":"b","count":1}', b'{"eventVersion":2}')) == Line(Sku("b"), 2)
    with pytest.raises(EventValueError, match="it is of version 4, and 3 is the newest known"):
        types.value(an_event("It", b"{}", b'{"eventVersion":4}'))
    with pytest.raises(EventValueError, match="article"):
        types.value(an_event("It", b"{}"))


def test_a_missing_upcaster() -> None:
    types = types_of(Line, version=2)
    with pytest.raises(EventValueError, match="no upcaster for version 1 of It"):
        types.value(an_event("It", b"{}"))


def test_converters() -> None:
    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    @dataclass
    class Paid:
        amount: Money

    Paid.__annotations__["amount"] = Money
    types = EventTypes()
    types.register("Paid")(Paid)
    with pytest.raises(WrongArgumentType, match="give EventTypes a converter for"):
        types.new_event(Paid(Money(5)))
    types.converter(Money, to_json=lambda money: money.cents, from_json=Money)
    event = types.new_event(Paid(Money(5)))
    assert event.data == b'{"amount":5}'
    value = types.value(stored(event))
    assert isinstance(value, Paid)
    assert value.amount.cents == 5


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", at=(datetime, ...), price=(Decimal, Decimal(1)))
    types = types_of(model)
    value = model(at=datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert types.value(stored(types.new_event(value))) == value
    with pytest.raises(EventValueError, match="at"):
        types.value(an_event("It", b"{}"))


def test_msgspec() -> None:
    msgspec = pytest.importorskip("msgspec")
    struct = msgspec.defstruct("Struct", [("id", UUID), ("price", Decimal, Decimal(1))])
    types = types_of(struct)
    value = struct(id=uuid4())
    assert types.value(stored(types.new_event(value))) == value
    with pytest.raises(EventValueError, match="missing required field `id`"):
        types.value(an_event("It", b"{}"))


def test_attrs() -> None:
    attrs = pytest.importorskip("attrs")
    kind = attrs.make_class("Kind", {"id": attrs.field(type=UUID), "_private": attrs.field(type=int, default=1)})
    types = types_of(kind)
    value = kind(id=uuid4(), private=2)
    assert types.value(stored(types.new_event(value))) == value
    with pytest.raises(EventValueError, match="id: is missing"):
        types.value(an_event("It", b"{}"))


def test_what_cannot_be_registered() -> None:
    types = types_of(Line)
    with pytest.raises(InvalidArgument, match="must be a class that is not registered yet"):
        types.register("Another")(Line)
    with pytest.raises(InvalidArgument, match="type: must be a type that Line does not stand for already, not 'It'"):
        types.register("Another", aliases=["It"])(Everything)
    with pytest.raises(WrongArgumentType, match="must be a dataclass"):
        types.register("Another")(int)
    with pytest.raises(WrongArgumentType, match="must be a dataclass"):
        types.register("Another")(Line(Sku("a")))  # type: ignore[type-var]
    with pytest.raises(InvalidArgument, match="version"):
        types.register("Another", version=0)
    with pytest.raises(InvalidArgument, match="type: must not be empty"):
        types.register("")
    types.upcaster("It", version=1)(lambda data: data)
    with pytest.raises(InvalidArgument, match="must be a version of It that has no upcaster yet, not 1"):
        types.upcaster("It", version=1)
    with pytest.raises(WrongArgumentType, match="must be of a registered class: Everything is not"):
        types.new_event(everything())


def test_annotations_that_cannot_be_read() -> None:
    @dataclass
    class Odd:
        it: object
        function: type[int]

    types = types_of(Odd)
    with pytest.raises(EventValueError, match="cannot be read from JSON"):
        types.value(an_event("It", b'{"it":1,"function":1}'))


def back(value: Any, types: EventTypes | None = None) -> Any:
    types = types or types_of(type(value))
    return types.value(stored(types.new_event(value)))


def test_pydantic_aliases() -> None:
    pydantic = pytest.importorskip("pydantic")
    by_name = "by_name" in signature(pydantic.BaseModel.model_validate_json).parameters
    for how in ({"alias": "orderId"}, {"serialization_alias": "out"}, {"validation_alias": "oid"})[
        : 3 if by_name else 2
    ]:
        for default in (0, ...):
            model = pydantic.create_model("Model", order_id=(int, pydantic.Field(default, **how)))
            value = model.model_validate({how.get("alias", how.get("validation_alias", "order_id")): 7})
            assert back(value) == value
            holder = make_dataclass("Holder", [("model", model)])
            assert back(holder(value)) == holder(value)
            if by_name:  # what was stored by name
                assert types_of(model).value(an_event("It", b'{"order_id":7}')) == value
                assert types_of(holder).value(an_event("It", b'{"model":{"order_id":7}}')) == holder(value)


def test_pydantic_names_that_are_aliases_of_others() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model(
        "Model", a=(int, pydantic.Field(alias="b")), b=(int, pydantic.Field(0, alias="c", validate_default=True))
    )
    assert types_of(model).value(an_event("It", b'{"b":1}')) == model(b=1)
    assert back(model(b=1, c=2)) == model(b=1, c=2)


def test_pydantic_models_that_are_strict() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Strict(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        model_config = pydantic.ConfigDict(strict=True, extra="forbid")
        day: date
        id: UUID

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def year(self) -> int:
            return self.day.year

    Strict.model_rebuild(_types_namespace={"date": date, "UUID": UUID})
    value = Strict(day=date(2026, 1, 1), id=uuid4())
    assert back(value) == value
    types = types_of(Strict, version=2)
    types.upcaster("It", version=1)(lambda data: {"day": date(2026, 1, 1), "id": data["key"]})
    assert types.value(an_event("It", f'{{"key":"{value.id}"}}'.encode())) == value


def test_pydantic_dataclasses() -> None:
    pydantic = pytest.importorskip("pydantic")
    kind = pydantic.dataclasses.dataclass(
        make_dataclass("Kind", [("day", date), ("order_id", int, pydantic.Field(0, alias="orderId"))])
    )
    value = kind(day=date(2026, 1, 1), orderId=4)
    assert back(value) == value
    assert types_of(kind).new_event(value).data == b'{"day":"2026-01-01","orderId":4}'
    holder = make_dataclass("Holder", [("it", kind)])
    assert back(holder(value)) == holder(value)


def test_pydantic_values_that_would_not_come_back() -> None:
    pydantic = pytest.importorskip("pydantic")
    number = pydantic.create_model("Number", it=(float, ...))
    left_out = pydantic.create_model("LeftOut", it=(int, pydantic.Field(exclude=True)))
    default = pydantic.create_model("Default", it=(int, pydantic.Field(0, exclude=True)))
    secret = pydantic.create_model("Secret", it=(pydantic.SecretStr, ...))
    with pytest.raises(InvalidArgument, match=r"events: must be readable \(Number: is not a Number"):
        types_of(number).new_event(number(it=float("inf")))
    with pytest.raises(InvalidArgument, match=r"(?s)events: must be readable \(LeftOut: .*Field required"):
        types_of(left_out).new_event(left_out(it=1))
    with pytest.raises(InvalidArgument, match=r"events: must come back as it is \(Default: it: 1 would be read as 0\)"):
        types_of(default).new_event(default(it=1))
    with pytest.raises(InvalidArgument, match="must come back as it is"):
        types_of(secret).new_event(secret(it="x"))
    private = type("Private", (number,), {"_key": pydantic.PrivateAttr(default_factory=uuid4), "__annotations__": {}})
    assert back(private(it=1)).it == 1


def test_structs_inside() -> None:
    msgspec = pytest.importorskip("msgspec")
    struct = msgspec.defstruct("Struct", [("order_id", int, 0), ("by", dict[int, int], {})], rename="camel")
    value = struct(7, {1: 2})
    assert back(value) == value
    holder = make_dataclass("Holder", [("it", struct)])
    assert back(holder(value)) == holder(value)
    assert types_of(holder).new_event(holder(value)).data == b'{"it":{"orderId":7,"by":{"1":2}}}'


class Corner(enum.Enum):
    ORIGIN = (0, 0)
    FAR = (9, 9)


class Pair(NamedTuple):
    left: int
    day: date | None = None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Pair, Pair(1, date(2026, 1, 1))),
        (Corner, Corner.FAR),
        (timedelta, timedelta(days=-999999, microseconds=1)),
        (timedelta, timedelta.max),
        (datetime | date, date(2026, 1, 1)),
        (datetime | date | None, datetime(2026, 1, 1)),
        (date | datetime, datetime(2026, 1, 1)),
        (Decimal | str, "a"),
        (Decimal, Decimal("NaN")),
        (Sequence[int], [1, 2]),
    ],
)
def test_fields_that_come_back(kind: Any, value: object) -> None:
    found = back(make_dataclass("Kind", [("it", kind)])(value)).it
    assert repr(found) == repr(tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Decimal | str, "1.5", r"must come back as it is \(Kind: it: '1.5' would be read as Decimal\('1.5'\)\)"),
        (Any, date(2026, 1, 1), "would be read as '2026-01-01'"),
        (list, [{"at": UUID(int=1)}], "it.0.at: UUID"),
        (complex | None, None, r"must be readable \(Kind: values of complex cannot be read from JSON"),
        (int, "x", r"must be readable \(Kind: it: must be an integer, not 'x'\)"),
        (Corner, "x", "is not a Corner"),
    ],
)
def test_fields_that_would_not_come_back(kind: Any, value: object, text: str) -> None:
    made = make_dataclass("Kind", [("it", kind)])
    with pytest.raises(InvalidArgument, match=text):
        types_of(made).new_event(made(value))


def test_fields_that_are_not_compared() -> None:
    kind = make_dataclass("Kind", [("it", int), ("seen", float, field(init=False, compare=False, default=0.0))])
    value = kind(1)
    value.seen = 2.0
    assert back(value).it == 1


def test_classes_that_want_more_than_their_fields() -> None:
    kind = make_dataclass("Kind", [("it", int), ("secret", InitVar[int])])
    with pytest.raises(WrongArgumentType, match="class: must be made of its fields alone, and wants secret, too"):
        types_of(kind)
    assert back(make_dataclass("Kind", [("it", int), ("secret", InitVar[int], 1)])(2)).it == 2


@pytest.mark.parametrize("version", ['"3"', "3.0", "0", "-1", "true", "null"])
def test_versions_that_are_none(version: str) -> None:
    with pytest.raises(EventValueError, match="eventVersion in its metadata must be an integer from 1, not"):
        types_of(Line).value(an_event("It", b'{"sku":"a"}', f'{{"eventVersion":{version}}}'.encode()))
