"""A strict reader of HTML for tests: every element is closed in order."""

from html.parser import HTMLParser


class Balanced(HTMLParser):
    """Keeps the names of elements, their attributes, and the text outside of styles."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.names, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in ("br", "meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def read(page: str) -> Balanced:
    """The page as read; an error where it is not balanced."""
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser
