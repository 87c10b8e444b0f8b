"""Settings of fits: file, command line and quick ones, each over the one before; what cannot be is refused by name."""

from pathlib import Path

import pytest

from fraud.core.errors import SettingsError
from fraud.training import settings
from streaming.settings import read_settings


def test_set_goes_over_the_file_over_quick(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train.network]\nepochs = 7\nlearning_rate = 0.001\n[train.booster]\ntrees = 40\n")
    found = read_settings(path, {})
    tables = settings.merged(settings.tables_of(found.train), ["network.labels=false", "network.learning_rate = 0.01"])
    made = settings.blend(5, quick=True, tables=tables)
    assert (made.network.epochs, made.network.labels, made.network.learning_rate) == (7, False, 0.01)
    assert made.network.easy_share == settings.QUICK["network"]["easy_share"]
    assert (made.booster.trees, made.booster.learning_rate) == (40, 0.15)
    assert (made.booster.seed, made.network.seed) == (5, 5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("network.lables=false", "Did you mean 'labels'"),
        ("netwrk.labels=false", "Did you mean 'network'"),
        ("labels", "expected PART.KEY=VALUE"),
        ("network.epochs=many", r"\[train.network\].*int"),
        ("network.epochs=0", "at least 1"),
        ("booster.trees=0", "at least 1"),
    ],
)
def test_set_that_cannot_be_is_refused(given: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings.blend(0, tables=settings.merged({}, [given]))


def test_reseeded_changes_every_part() -> None:
    made = settings.reseeded(settings.blend(0), 9)
    assert (made.booster.seed, made.network.seed) == (9, 9)  # type: ignore[union-attr]
    assert settings.reseeded(settings.booster(0), 9) == settings.booster(9)
