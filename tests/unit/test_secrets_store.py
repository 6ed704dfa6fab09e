import asyncio
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import InvalidInput, Refused, UnknownThing, Unreachable
from runner.graph.references import secret_reference
from runner.messaging.memory import Faults, MemoryBus
from runner.messaging.ports import Documents
from runner.secrets.keys import Key, Keyring
from runner.secrets.references import is_well_formed, reference_from
from runner.secrets.store import BUCKET, SecretStore

OLD, NEW = (Key.derive(bytes([n]) * 32) for n in range(2))
RING = Keyring((OLD,))
ROTATED = Keyring((NEW, OLD))
CANARY = "canary-7Zp$x"


def bucket(faults: Faults | None = None) -> Documents:
    return MemoryBus(faults).connect().documents(BUCKET)


@pytest.fixture
def documents() -> Documents:
    return bucket()


@pytest.fixture
def store(documents) -> SecretStore:
    return SecretStore(documents, RING)


async def every_byte(documents) -> bytes:
    keys = await documents.keys()
    found = [await documents.get(key) for key in keys]
    return b"\n".join([*(key.encode() for key in keys), *(document.data for document in found)])


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


@settings(deadline=None)
@given(values, st.text())
async def test_any_json_value_of_any_owner_comes_back_in_another_process(value, owner):
    documents = bucket()
    reference = await SecretStore(documents, RING).put(value, owner=owner)
    assert is_well_formed(reference)
    other = SecretStore(documents, RING)
    assert await other.get(reference) == value
    assert await other.get(reference, owner=owner) == value
    assert await other.references(owner) == [reference]
    assert all(len(key) < 250 for key in await documents.keys())


async def test_nothing_stored_shows_the_secret_or_its_owner_s_other_secrets(store, documents):
    first = await store.put(CANARY, owner="a", place="x")
    assert await store.put(CANARY, owner="b", place="x") != first
    assert await store.put(CANARY, owner="a", place="y") != first
    stored = await every_byte(documents)
    assert CANARY.encode() not in stored
    assert b"canary" not in stored


async def test_the_same_secret_in_the_same_place_gets_the_same_reference(store, documents):
    first = await store.put({"b": 1, "a": 2}, owner="o", place="inputs")
    assert await SecretStore(documents, RING).put({"a": 2, "b": 1}, owner="o", place="inputs") == first
    assert await store.put({"a": 2, "b": 2}, owner="o", place="inputs") != first


async def test_stores_at_the_same_time_agree_on_one_reference(documents):
    stores = [SecretStore(documents, RING) for _ in range(5)]
    references = await asyncio.gather(*(store.put(CANARY, owner="o") for store in stores))
    assert len(set(references)) == 1
    assert len(await documents.keys()) == 2


@settings(deadline=None)
@given(st.integers(0, 1000))
async def test_a_store_repeated_until_it_answers_stores_once(seed):
    faults = Faults(seed=seed, request_lost=0.3, answer_lost=0.3)
    documents = bucket(faults)

    async def stubborn() -> str:
        while True:
            try:
                return await SecretStore(documents, RING).put(CANARY, owner="o")
            except Unreachable:
                continue

    references = await asyncio.gather(stubborn(), stubborn(), stubborn())
    faults.active = False
    assert len(set(references)) == 1
    assert len(await documents.keys()) == 2
    assert await SecretStore(documents, RING).get(references[0]) == CANARY


async def test_a_value_lost_between_the_two_writes_is_written_by_the_next_call(store, documents):
    reference = await store.put(CANARY, owner="o")
    await documents.delete(f"value/{reference}")
    again = SecretStore(documents, RING)
    assert await again.put(CANARY, owner="o") == reference
    assert await SecretStore(documents, RING).get(reference) == CANARY


async def test_a_caller_can_t_change_what_is_stored(store):
    reference = await store.put({"list": [1]}, owner="o")
    (await store.get(reference))["list"].append(2)
    assert await store.get(reference) == {"list": [1]}


async def test_read_only_objects_are_stored_like_others(store):
    assert await store.get(await store.put({"a": MappingProxyType({"b": (1,)})}, owner="o")) == {"a": {"b": [1]}}


@pytest.mark.parametrize("value", [float("nan"), [float("-inf")], b"bytes", {"a": {1, 2}}])
async def test_what_is_no_json_value_is_refused_and_not_stored(store, documents, value):
    with pytest.raises(InvalidInput, match="not a JSON value"):
        await store.put(value, owner="o")
    assert await documents.keys() == []


async def test_an_unknown_reference_says_so(store):
    reference = reference_from(bytes(16))
    with pytest.raises(UnknownThing, match=reference):
        await store.get(reference)


@pytest.mark.parametrize("reference", ["hunter2", "", "../owner/o", "sec_*", "sec_" + "x" * 27])
async def test_what_is_no_reference_is_unknown_and_not_shown(store, reference):
    with pytest.raises(UnknownThing) as caught:
        await store.reveal({"password": {"$secret": reference}})
    assert "hunter2" not in str(caught.value)


async def test_a_secret_of_another_owner_is_unknown(store):
    reference = await store.put(CANARY, owner="a")
    with pytest.raises(UnknownThing):
        await store.reveal(secret_reference(reference), owner="b")
    assert (await store.reveal(secret_reference(reference), owner="a")).value == CANARY


async def test_bytes_stored_under_another_reference_are_refused(store, documents):
    one, other = await store.put("one", owner="o"), await store.put("other", owner="o")
    swapped = await documents.get(f"value/{one}")
    await documents.put(f"value/{other}", swapped.data)
    with pytest.raises(Refused):
        await SecretStore(documents, RING).get(other)


async def test_concealed_values_are_revealed_with_their_secrets_listed(store, documents):
    plain = {"user": "jo", "password": CANARY, "hosts": [{"token": 12345}, {"token": None}]}
    paths = [("password",), ("hosts", 0, "token"), ("hosts", 1, "token"), ("absent",), ("hosts", 7)]
    concealed = await store.conceal(plain, paths, owner="o", place="inputs")
    assert concealed["user"] == "jo"
    assert set(concealed["password"]) == {"$secret"}
    assert CANARY not in repr(concealed)
    value, secrets = await SecretStore(documents, RING).reveal(concealed, owner="o")
    assert value == plain
    assert sorted(secrets, key=str) == sorted([CANARY, 12345, None], key=str)
    assert plain["password"] == CANARY


async def test_concealing_again_gives_the_same_value_in_another_process(store, documents):
    plain = {"a": CANARY, "b": CANARY}
    first = await store.conceal(plain, [("a",), ("b",)], owner="o")
    assert first["a"] != first["b"]
    assert await SecretStore(documents, RING).conceal(plain, [("a",), ("b",)], owner="o") == first
    assert await store.conceal(first, [("a",), ("b",)], owner="o") == first


async def test_of_nested_secrets_the_outer_one_is_stored(store):
    concealed = await store.conceal({"a": {"b": CANARY}}, [("a", "b"), ("a",)], owner="o")
    assert set(concealed["a"]) == {"$secret"}
    assert (await store.reveal(concealed)).secrets == [{"b": CANARY}]


async def test_references_inside_of_secrets_are_revealed_too(store):
    inner = await store.conceal({"password": CANARY}, [("password",)], owner="o")
    outer = await store.conceal({"db": inner}, [("db",)], owner="o")
    revealed = await store.reveal(outer, owner="o")
    assert revealed.value == {"db": {"password": CANARY}}
    assert CANARY in revealed.secrets
    assert await store.matches(outer, {"db": {"password": CANARY}})
    assert not await store.matches(outer, {"db": {"password": "x"}})


async def test_a_part_of_a_secret_is_revealed_by_the_way_to_it(store):
    reference = await store.put({"pair": [{"a/b~c": CANARY}]}, owner="o")
    part = secret_reference(reference, ("pair", "0", "a/b~c"))
    revealed = await store.reveal({"in": part}, owner="o")
    assert revealed.value == {"in": CANARY}
    assert revealed.secrets == [{"pair": [{"a/b~c": CANARY}]}]
    assert await store.get(part["$secret"]) == CANARY
    assert await store.matches({"in": part}, {"in": CANARY})


async def test_a_part_that_goes_through_a_secret_in_a_secret_is_revealed(store):
    inner = await store.put({"b": CANARY}, owner="o")
    outer = await store.put({"a": secret_reference(inner)}, owner="o")
    assert (await store.reveal(secret_reference(outer, ("a", "b")))).value == CANARY


async def test_a_part_that_is_not_there_is_left_out(store):
    reference = await store.put({"a": 1}, owner="o")
    assert (await store.reveal({"in": secret_reference(reference, ("b",)), "x": 1})).value == {"x": 1}
    with pytest.raises(UnknownThing, match="no such part"):
        await store.reveal(secret_reference(reference, ("b",)))
    with pytest.raises(UnknownThing, match="no such part"):
        await store.get(f"{reference}#/b")


async def test_references_that_never_end_are_refused(store):
    value = CANARY
    for _ in range(9):
        value = secret_reference(await store.put(value, owner="o"))
    with pytest.raises(Refused, match="more than 8 levels"):
        await store.reveal(value)


async def test_a_concealed_input_is_compared_with_a_plain_one(store):
    plain = {"user": "jo", "password": CANARY}
    concealed = await store.conceal(plain, [("password",)], owner="o")
    assert await store.matches(concealed, plain)
    assert await store.matches(concealed, concealed)
    assert not await store.matches(concealed, plain | {"password": "other"})
    assert not await store.matches(concealed, plain | {"user": "al"})
    assert not await store.matches(concealed, {"user": "jo"})
    assert not await store.matches(concealed, plain | {"more": 1})
    assert await store.same(concealed["password"]["$secret"], CANARY)
    assert not await store.same(concealed["password"]["$secret"], None)


async def test_comparison_survives_a_rotation(store, documents):
    concealed = await store.conceal({"p": CANARY}, [("p",)], owner="o")
    rotated = SecretStore(documents, ROTATED)
    await rotated.rewrap()
    assert await SecretStore(documents, Keyring((NEW,))).matches(concealed, {"p": CANARY})


async def test_rewrapping_makes_the_old_key_dispensable(store, documents):
    references = [await store.put(n, owner="o") for n in range(3)]
    rotated = SecretStore(documents, ROTATED)
    assert await rotated.rewrap() == 3
    assert await rotated.rewrap() == 0
    only_new = SecretStore(documents, Keyring((NEW,)))
    assert [await only_new.get(reference) for reference in references] == [0, 1, 2]
    with pytest.raises(Refused, match=NEW.id):
        await SecretStore(documents, RING).get(references[0])


async def test_rewrapping_at_the_same_time_loses_nothing(store, documents):
    references = [await store.put(n, owner="o") for n in range(5)]
    await asyncio.gather(*(SecretStore(documents, ROTATED).rewrap() for _ in range(3)))
    only_new = SecretStore(documents, Keyring((NEW,)))
    assert [await only_new.get(reference) for reference in references] == [0, 1, 2, 3, 4]


async def test_deleting_an_owner_leaves_the_others(store, documents):
    mine = await store.put(CANARY, owner="o", place="a")
    await store.put(CANARY, owner="o", place="b")
    other = await store.put(CANARY, owner="o/2")
    assert await store.delete_owner("o") == 2
    assert await store.delete_owner("o") == 0
    assert await store.references("o") == []
    with pytest.raises(UnknownThing):
        await store.get(mine)
    assert await SecretStore(documents, RING).get(other) == CANARY
    assert len(await documents.keys()) == 2


async def test_owners_with_long_names_are_told_apart(store):
    one = await store.put(1, owner="é" * 10_000)
    await store.put(2, owner="é" * 10_001)
    assert await store.references("é" * 10_000) == [one]


async def test_the_cache_keeps_the_newest_values_only(store, documents):
    references = [await store.put(n, owner="o") for n in range(1030)]
    await store.put("x" * 100_000, owner="o")
    for key in await documents.keys("value/"):
        await documents.delete(key)
    assert await store.get(references[-1]) == 1029
    with pytest.raises(UnknownThing):
        await store.get(references[0])
