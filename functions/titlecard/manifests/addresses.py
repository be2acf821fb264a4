"""Which video an address leads to, by the way each host writes its addresses."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import SplitResult, parse_qs, urlsplit

_YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtu.be")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_VIMEO_ID = re.compile(r"\d+")
_SCHEME = re.compile(r"(?i:https?)://")


def youtube_id(url: str) -> str | None:
    """The id of the video that an address of YouTube's leads to, None for every other address."""
    parts = _split(url)
    if parts is None or not _is_at(parts, *_YOUTUBE_HOSTS):
        return None
    path = parts.path.strip("/").split("/")
    candidates = [*parse_qs(parts.query).get("v", ()), path[-1]]
    return next((text for text in candidates if _YOUTUBE_ID.fullmatch(text)), None)


def is_youtube_id(text: str) -> bool:
    """Whether a text has the form of a YouTube video's id."""
    return _YOUTUBE_ID.fullmatch(text) is not None


def video_id(url: str) -> str | None:
    """An id for the video at an address; None where it leads to no video.

    YouTube, Vimeo, the Internet Archive, media.ccc.de, PeerTube and Dailymotion have ids in their addresses. At every
    other host the address itself, without its scheme, is the id.
    """
    parts = _split(url)
    if parts is None or "." not in parts.netloc:
        return None
    if _is_at(parts, *_YOUTUBE_HOSTS):
        return youtube_id(url)
    path = [name for name in parts.path.split("/") if name]
    if _is_at(parts, "vimeo.com"):
        return _of_vimeo(path)
    if known := _of_path(parts, path):
        return known
    if not _SCHEME.match(url.strip()) or not (path or parts.query):
        return None
    host = parts.netloc.casefold().removeprefix("www.")
    return "/".join([host, *path]) + (f"?{parts.query}" if parts.query else "")


def _of_path(parts: SplitResult, path: list[str]) -> str | None:
    """The id that a path holds at the hosts that are known."""
    match path:
        case ["download", *rest] if _is_at(parts, "archive.org"):
            return "/".join(rest)
        case ["details" | "embed", identity, *_] if _is_at(parts, "archive.org"):
            return identity
        case ["v" | "video", identity, *_] if _is_at(parts, "media.ccc.de", "dailymotion.com"):
            return identity
        case [identity] if _is_at(parts, "dai.ly"):
            return identity
        case ["w", identity] | ["videos", "watch" | "embed", identity]:  # PeerTube, which runs on every host
            return identity
    return None


def _of_vimeo(path: list[str]) -> str | None:
    """The number behind `video` or `videos`, else the first one; a showcase or a channel has a number of its own."""
    for before, name in pairwise(path):
        if before in {"video", "videos"} and _VIMEO_ID.fullmatch(name):
            return name
    if path[:1] in (["showcase"], ["album"], ["user"]):
        return None
    candidates = path[2:] if path[:1] in (["groups"], ["channels"]) else path
    return next(filter(_VIMEO_ID.fullmatch, candidates), None)


def _split(url: str) -> SplitResult | None:
    try:
        url = url.strip()
        if url.startswith("/watch?v="):  # as frontends to YouTube write it
            url = f"//youtube.com{url}"
        return urlsplit(url if "//" in url else f"//{url}")
    except ValueError:  # such as a bracket where a host belongs
        return None


def _is_at(parts: SplitResult, *hosts: str) -> bool:
    host = parts.netloc.casefold()
    return any(host == known or host.endswith(f".{known}") for known in hosts)
