"""What tests of links share: a site by either library, and a stack that closes at the end of a test."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.links import LIBRARIES, LinkSite


@pytest.fixture(params=LIBRARIES)
def site(request: pytest.FixtureRequest) -> LinkSite:
    """Topics made a moment ago, and links by either library."""
    return LinkSite(library=request.param)


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
