"""The video that an address leads to, by each host's form of addresses."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from urllib.parse import SplitResult, parse_qs, urlsplit

_YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtu.be")
_YOUTUBE_ID = re.compile(r"(?!videoseries$|live_stream$)[A-Za-z0-9_-]{11}")
"""An id. The two words stand in place of an id in the address of an embedded playlist or live stream."""

_YOUTUBE_PLACES = frozenset({"watch", "shorts", "live", "embed", "v", "e", "vi", "vi_webp", "video"})
"""The first parts of the paths of YouTube's videos; any other is the name of a channel."""

_REDIRECTS = frozenset({"url", "redirect", "attribution_link", "m", "oembed"})
"""The pages of Google and YouTube that redirect to the address in their query."""

_VIMEO_ID = re.compile(r"\d+")
_SCHEME = re.compile(r"(?i:https?)://")
_ADDRESS = re.compile(r"""(?:https?:)?//[^\s<>"'\]]+""", re.IGNORECASE)
"""An address within other text, such as `<https://…>`, `[a link](https://…)` or two addresses in one cell."""


_ARCHIVED = re.compile(r"(?:https?:)?//web\.archive\.org/web/[^/]+/(?=https?:)", re.IGNORECASE)


def youtube_id(url: str) -> str | None:
    """Return the id of the video that a YouTube address leads to, None for every other address."""
    parts = _split(url)
    if parts is None or not _is_at(parts, *_YOUTUBE_HOSTS):
        return None
    path = parts.path.partition("&")[0].strip("/").split("/")
    known = path[:1] if _is_at(parts, "youtu.be") else path[1:2] if path[0] in _YOUTUBE_PLACES else []
    return next(filter(is_youtube_id, [*parse_qs(parts.query).get("v", ()), *known]), None)


def list_id(url: str) -> str | None:
    """Return the name or id of the playlist or channel that a YouTube address leads to, None for other addresses."""
    parts = _split(url)
    if parts is None or not _is_at(parts, *_YOUTUBE_HOSTS) or youtube_id(url):
        return None
    path = parts.path.strip("/").split("/")
    if path[0] == "playlist" or path[-1] == "videoseries":
        return next(iter(parse_qs(parts.query).get("list", ())), None)
    return path[1] if path[0] in {"channel", "c", "user"} and len(path) > 1 else path[0] if path[0][:1] == "@" else None


def is_youtube_id(text: str) -> bool:
    """Return whether a text has the form of a YouTube video's id."""
    return _YOUTUBE_ID.fullmatch(text) is not None


def video_id(url: str) -> str | None:
    """Return an id for the video at an address; None if it leads to no video.

    Addresses of YouTube, Vimeo, the Internet Archive, media.ccc.de, PeerTube and Dailymotion contain ids. For any other
    host, the address itself, without its scheme, is the id.
    """
    parts = _split(url)
    if parts is None or "." not in parts.netloc:
        return None
    if _is_at(parts, *_YOUTUBE_HOSTS):
        return youtube_id(url)
    path = [name for name in parts.path.split("/") if name]
    if _is_at(parts, "vimeo.com"):
        return _of_vimeo(path)
    shown = parse_qs(parts.query).get("v", ()) if path == ["watch"] else ()  # by a frontend to YouTube
    if known := next(filter(is_youtube_id, shown), None) or _of_path(parts, path):
        return known
    of_conference = _is_at(parts, "media.ccc.de") and path[:1] == ["c"]
    if of_conference or not _SCHEME.match(url.strip()) or not (path or parts.query):
        return None
    host = parts.netloc.casefold().removeprefix("www.")
    return "/".join([host, *path]) + (f"?{parts.query}" if parts.query else "")


def _of_path(parts: SplitResult, path: list[str]) -> str | None:
    """Return the id that a path contains at the known hosts."""
    match path:
        case ["download", *rest] if _is_at(parts, "archive.org"):
            return "/".join(rest)
        case ["details" | "embed", identity, *_] if _is_at(parts, "archive.org"):
            return identity
        case ["v" | "video", identity, *_] if _is_at(parts, "media.ccc.de", "dailymotion.com"):
            return identity
        case ["embed", "video", identity] | [identity] if _is_at(parts, "dai.ly", "dailymotion.com"):
            return identity
        case ["w", identity] | ["videos", "watch" | "embed", identity]:  # PeerTube, which can run on any host
            return identity.partition(";")[0]
    return None


def _of_vimeo(path: list[str]) -> str | None:
    """Return the number after `video` or `videos`, else the first one; a showcase or channel has its own number."""
    for before, name in pairwise(path):
        if before in {"video", "videos"} and _VIMEO_ID.fullmatch(name):
            return name
    if path[:1] in (["showcase"], ["album"], ["user"]):
        return None
    candidates = path[2:] if path[:1] in (["groups"], ["channels"]) else path
    return next(filter(_VIMEO_ID.fullmatch, candidates), None)


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address, or of the first one in a text; a redirect is replaced by its target."""
    url = _ARCHIVED.sub("", html.unescape(url.strip()))
    if url.startswith(("/watch?v=", "watch?v=")):  # the form of frontends to YouTube
        url = f"//youtube.com/{url.removeprefix('/')}"
    if found := _ADDRESS.search(url):
        url = found[0].rstrip(".,;") if "(" in found[0] else found[0].rstrip(".,;)")
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        if parts.query and parts.path.strip("/") in _REDIRECTS and _is_at(parts, "google.com", "youtube.com"):
            query = parse_qs(parts.query)
            target = next((query[name][0] for name in ("q", "url", "u", "continue") if name in query), "")
            parts = urlsplit(f"//youtube.com{target}" if target.startswith("/") else target)
    except ValueError:  # such as a bracket in place of a host
        return None
    return parts


def _is_at(parts: SplitResult, *hosts: str) -> bool:
    host = parts.netloc.casefold().rpartition("@")[2].partition(":")[0]
    return any(host == known or host.endswith(f".{known}") for known in hosts)
