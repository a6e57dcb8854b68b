"""Links of a finished site that lead nowhere: to a missing page, file, image, or place within a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """What one page links to, and the places it can be linked at."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            elif name in ("href", "src"):
                self.links.append(value)


def broken(site: Path) -> list[str]:
    """One sentence per link that leads nowhere; links to other sites are not followed."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    out = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("/"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            place = unquote(parts.fragment)
            known = pages.get(site / target.relative_to(site.resolve())) if _within(target, site) else None
            if not target.exists():
                out.append(f"{path.relative_to(site)}: {link} leads to no file")
            elif place and known is not None and place not in known.places:
                out.append(f"{path.relative_to(site)}: {link} leads to no place of that page")
    return out


def _within(path: Path, site: Path) -> bool:
    return path.is_relative_to(site.resolve())
