"""How much a browser loads for its first page: the page itself and everything that it names, compressed as served."""

import gzip
import io

from fraud.dashboard.app import GZIP_LEVEL
from fraud.dashboard.pages import Pages
from tests.dashboard.markup import Markup

KB = 1024
STATIC = Pages().static


def first_load(text: str) -> int:
    """Return the compressed bytes of a page, given as its text, and of everything that it loads."""
    loaded = [
        element.attributes.get("src") or element.attributes["href"]
        for element in Markup(text).named("script", "link")
        if "src" in element.attributes or "href" in element.attributes
    ]
    files = [STATIC / address.removeprefix("/static/").split("?")[0] for address in loaded]
    assert len(files) >= 4
    return sum(packed(content) for content in [text.encode(), *(file.read_bytes() for file in files)])


def packed(content: bytes) -> int:
    """Return the compressed size of some bytes."""
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=GZIP_LEVEL) as file:
        file.write(content)
    return len(target.getvalue())
