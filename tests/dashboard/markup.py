"""A page taken apart: its elements with their attributes, and its text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Element:
    """One element; `text` is all the text within it."""

    name: str
    attributes: dict[str, str]
    parent: "Element | None"
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def within(self, name: str) -> "Element | None":
        """Return the nearest element of a name around this one."""
        around = self.parent
        while around is not None and around.name != name:
            around = around.parent
        return around


class Markup(HTMLParser):
    """Parse strictly: an element that is closed where it is not open is an error."""

    def __init__(self, text: str) -> None:
        """Take a page apart."""
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert self._open == [], [element.name for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and what stands around it."""
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open[-1] if self._open else None)
        if self._open:
            self._open[-1].children.append(element)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that is open."""
        assert self._open, tag
        assert self._open[-1].name == tag, (self._open[-1].name, tag)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        """Add text to everything around it."""
        for element in self._open:
            element.text += data

    def named(self, *names: str) -> list[Element]:
        """Return the elements of these names, in order."""
        return [element for element in self.elements if element.name in names]

    @property
    def shown(self) -> list[Element]:
        """Return the elements that are there from the start: those of a template are not."""
        return [element for element in self.elements if element.within("template") is None]

    def by_id(self, name: str) -> Element:
        """Return the element with an id."""
        (found,) = (element for element in self.shown if element.attributes.get("id") == name)
        return found
