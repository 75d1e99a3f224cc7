"""The site is built without a network, and each of its links has an end."""

import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import sfnbench
from sfnbench.members import registry

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src"}

markdown = pytest.importorskip("markdown")
pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The anchors of a page, its links, and what a browser loads to show it."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if target := given.get(LOADED.get(tag, "")):
            self.loaded.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    words = ["mkdocs", "build", "--strict", "--site-dir", str(target)]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path) for path in target.rglob("*.html")}


def test_every_link_has_an_end(site):
    for path, page in site.items():
        if path.name == "404.html":  # its links are from the root of a server
            continue
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = path if not parts.path else target
            assert target.exists(), (path, link)
            if target in site:
                assert unquote(parts.fragment) in site[target].anchors, (path, link)


def test_a_page_loads_nothing_from_elsewhere(site):
    loaded = {target for page in site.values() for target in page.loaded}
    assert not [target for target in loaded if urlsplit(target).netloc]


def test_code_in_tables_has_no_backslash_before_a_bar(site):
    for path in site:
        shown = re.findall(r"<td><code>(.*?)</code>", path.read_text())
        assert not [code for code in shown if r"\|" in code], path


def test_docstrings_are_shown_word_by_word():
    """In plain text `*` and `<` mean themselves; Markdown must not take them for marks."""
    show = markdown.Markdown(extensions=["pymdownx.superfences", "tables"])
    as_markdown, pages = (
        import_module("docstrings").as_markdown,
        import_module("pages"),
    )
    for kind in registry.KINDS:
        for member in registry.members(kind).values():
            text = pages.docstring_of(member)
            shown = unescape(
                re.sub(r"<[^>]*>", "", show.convert(as_markdown(text)))
            )
            said = text.replace("`", "").split()
            assert shown.replace("`", "").split() == said, member.path


def test_every_member_and_every_public_name_has_its_place(site):
    of_stem = {path.stem: page for path, page in site.items()}
    for kind in registry.KINDS:
        assert set(registry.members(kind)) <= of_stem[f"{kind}s"].anchors
    shown = {
        str(anchor).rpartition(".")[2] for anchor in of_stem["reference"].anchors
    }
    assert {*sfnbench.__all__} - import_module("pages").APART <= shown


def test_the_keyboard_sees_where_it_is(site, browser):
    """The first key leads to the text; links of a folded menu are shown where it reaches them."""
    first = min(path for path in site if path.name == "index.html")
    where = "document.activeElement.getBoundingClientRect().x"
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    page.goto(first.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == (
        "Skip to content"
    )
    menu = page.locator(".md-sidebar--primary a", has_text="First steps").first
    assert menu.bounding_box()["x"] < 0
    menu.focus()
    page.wait_for_function(f"{where} >= 0")
    page.close()
