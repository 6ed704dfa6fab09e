from collections import Counter

import pytest

from runner.interpreter.membership import shares

NAMES = [f"engine-{number}" for number in range(12)]


@pytest.mark.parametrize("partitions", [1, 4, 5, 16])
@pytest.mark.parametrize("count", range(1, 13))
def test_every_partition_has_an_owner_and_shares_differ_by_one_at_the_most(partitions, count):
    owners = shares(partitions, NAMES[:count])
    assert list(owners) == list(range(partitions))
    sizes = Counter(owners.values())
    found = [sizes[name] for name in NAMES[:count]]
    assert max(found) - min(found) <= 1


def test_every_engine_computes_the_same_whatever_the_order_in_which_it_heard_of_the_others():
    assert shares(16, NAMES) == shares(16, reversed(NAMES)) == shares(16, [*NAMES, *NAMES])


def test_most_partitions_stay_where_they_are_when_an_engine_leaves():
    before, after = shares(64, NAMES[:4]), shares(64, NAMES[:3])
    moved = [partition for partition, owner in before.items() if owner in NAMES[:3] and after[partition] != owner]
    assert len(moved) < 20
