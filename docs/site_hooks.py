"""What MkDocs asks while it builds the site: the navigation, and links that leave docs/."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

SECTIONS = {
    "Tutorials": "tutorials",
    "How to": "how-to",
    "Coming from": "how-to",
    "Reference": "reference",
    "Explanation": "explanation",
    "Decisions": "decisions",
}
FIRST = {
    "tutorials": ("first-run", "train-and-evaluate", "digitalocean", "your-own-environment"),
    "reference": ("cli", "settings", "errors", "definition", "layers", "metrics", "recording"),
    "explanation": ("design", "targets"),
}
"""The pages that come first in their section; the others follow by name."""
COMING_FROM = "come-from-"

_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")


def on_config(config: Any) -> Any:
    """Every page has its place: a section for each folder, so that none is forgotten."""
    docs = Path(config.docs_dir)
    config.nav = [{"Home": "index.md"}]
    for title, folder in SECTIONS.items():
        pages = sorted(docs.joinpath(folder).glob("*.md"), key=_rank(folder))
        if folder == "how-to":
            wanted = title == "Coming from"
            pages = [page for page in pages if page.stem.startswith(COMING_FROM) == wanted]
        config.nav.append({title: [page.relative_to(docs).as_posix() for page in pages]})
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Links to files beside docs/ lead to the repository."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, match[2]))
        if target.startswith("docs/"):
            return match[0]
        kind = "tree" if (Path(config.docs_dir).parent / target).is_dir() else "blob"
        return f"{match[1]}{config.repo_url}/{kind}/main/{target}"

    return _LINK.sub(replaced, markdown)


def _rank(folder: str) -> Any:
    """The section's own page, those that come first, then the names."""
    first = ("README", "index", *FIRST.get(folder, ()))

    def rank(page: Path) -> tuple[int, str]:
        stem = page.stem
        return (first.index(stem) if stem in first else len(first), stem.lower())

    return rank
