"""Two workers on a real Kafka and a real Redis, parameters that change meanwhile: the replay of the log is equal."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.parity.live import compare_refreshed, published, stream
from tests.site import Site


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_workers_on_different_versions_are_replayed_to_the_last_digit(
    kafka: str, redis_url: str, tmp_path: Path, unique: Callable[[str], str], library: str
) -> None:
    name = unique("refreshes")
    # With time for everything, so that all decisions are by the model.
    slack = {"FRAUD_SERVING__BUDGET": "60s"}
    with closing(Site(kafka, redis_url, tmp_path / name, name, library=library, environment=slack)) as site:
        found = compare_refreshed(site, list(stream(None, 3_000)))
        assert found.differ == []
        assert found.parameters >= 5
        assert len(published(site)) > found.parameters
        # The second worker heard of none in the first half.
        assert 100 < found.frozen < found.rows / 2
        # A worker takes up what is live before it takes payments.
        assert 0 < site.log("worker0").index("parameters taken up") < site.log("worker0").index("started")
        assert "parameters taken up" in site.log("worker1")
