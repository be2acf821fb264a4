"""Entries that are not talks: playlists, channels, hidden videos, breaks, advertisements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from titlecard.domain.text import fold
from titlecard.manifests.addresses import list_id
from titlecard.manifests.column_names import plain_name
from titlecard.manifests.vocabulary import (
    ADVERTISING,
    AROUND_BREAKS,
    AROUND_HIDDEN,
    BREAKS,
    FIELDS,
    HIDDEN,
    RECORDINGS,
    TOTALS,
    VIDEOS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PRIVATE = "The video is private or deleted: its title is not shown."
NOT_BEGUN = "The video is a premiere or a live stream that has not begun: it has no title yet."

_SHORT_CHARACTERS = 80
"""The most characters of a title that can only mean a break or a hidden video."""

_LIST_ID = re.compile(r"PL(?:[\w-]{32}|[0-9A-F]{16})|(?:U[CU]|UU(?:LF|LV|SH)|FL|LL)[\w-]{22}|OLAK5uy_[\w-]{33}")
"""The ids of YouTube's playlists and channels."""

_LISTS = ("playlist", "multi_video")
_ABOUT_PEOPLE = frozenset(
    {"lastname", "biography", "bio", "tagline", "twitter", "github", "affiliation", "profilepicture"}
)
_OF_TALKS = frozenset({*FIELDS["title"], *FIELDS["presenters"], *RECORDINGS, "videourl", "youtubeurl", "abstract"}) - {
    "name"
}
_NAMES = frozenset({"name", "firstname", "fullname"})
_STATES = frozenset({"state", "status", "proposalstate", "proposalstatus", "submissionstate"})

_STARTS = frozenset({"start", "starts", "startsat", "starttime", "begin", "time", "day", "scheduledat", "eventstart"})
_ENDS = frozenset({"end", "ends", "endsat", "endtime", "room", "stage", "location", "track", "hall", "venue"})
"""The columns of a schedule."""

_WITHDRAWN = frozenset({"rejected", "withdrawn", "canceled", "cancelled", "declined", "deleted"})
"""The states of a talk that does not take place."""

_OF_LISTS = {"followersCount", "videosLength"}
"""Fields of PeerTube's channels and playlists."""
_WORD = re.compile(r"[^\W\d_]+")

_CJK_HIDDEN = re.compile(
    r"\W{0,2}(?:非公開|削除|私享|私人|已刪除|已删除|비공개|삭제)\w{0,4}\s?(?:動画|视频|視頻|影片|동영상)\W{0,2}"
    r"|(?:この)?動画(?:は|を)(?:非公開|削除|再生できません)\w{0,8}\W{0,2}"
)
_UNAVAILABLE = re.compile(
    r"(?:this )?video (?:is )?(?:no longer available|unavailable)(?: because\b|\.)", re.IGNORECASE
)
_BRACKETED = re.compile(r"\[[^][]{1,30}\]")
_NO_TITLE = re.compile(r"youtube video #\S{11}", re.IGNORECASE)
"""yt-dlp's name for a video without a known title."""

_CJK_BREAK = re.compile(
    r"(?:昼食?|お昼|ランチ|コーヒー)?(?:休憩|休み|受付|開場|懇親会|ブレイク)(?:開始|時間|タイム)?"
    r"|(?:午餐|午饭|午休|茶歇|休息|签到|簽到|报到|報到|入场|入場|晚宴)(?:时间|時間)?"
)
_HANGUL_BREAK = re.compile(r"(?:점심|휴식|식사|등록|접수|커피|쉬는)\s?(?:시간|식사|브레이크|타임)?")
_ASIDE = re.compile(r"\([^()]*\)|\b(?:sponsored|provided|hosted) by .*", re.IGNORECASE)
_NAMED_BREAK = re.compile(r"(?:\w+ ){0,2}break|\w*(?:pause|pauze)|(?:room|session) change", re.IGNORECASE)
"""A break with its kind before it: `Juice break`, `Umbaupause`."""

_UNTITLED = re.compile(
    r"tb[acd]|to be (?:announced|confirmed|decided|determined)|untitled|null|none|nan|undefined|n/?a", re.IGNORECASE
)


def why_no_video(record: Mapping[str, Any]) -> str | None:
    """Return why a row, by its kind, is not a video; None if it may be one."""
    if isinstance(entries := record.get("entries"), list) and not any(entries):
        why = "whose videos are all private or deleted" if entries else "without videos"
        return f"The row is a playlist{_named(record)} {why}."
    if record.get("_type") in _LISTS or _is_list(record):
        return f"The row is a playlist or a tab of a channel{_named(record)}, not a video. {LIST_ITS_VIDEOS}"
    if record.keys() >= {"acronym", "slug"} and "guid" not in record:
        return f"The row is a conference{_named(record)}, not a talk: its events are the talks."
    if _is_channel(record):
        return f"The row is a channel or a playlist{_named(record)}, not a video. {LIST_ITS_VIDEOS}"
    if isinstance(error := record.get("error"), dict | str) and error and "title" not in record:
        said = error.get("message") if isinstance(error, dict) else error
        return f"The row is an error, not a video: {said!s:.200}"
    return _why_unseen(record)


def is_person(names: Iterable[str]) -> bool:
    """Return whether a row with these columns is a person: it has a name, and neither a title nor presenters."""
    given = {plain_name(name) for name in names}
    return bool(given & _NAMES and given & _ABOUT_PEOPLE) and not given & _OF_TALKS


def is_scheduled(names: Iterable[str]) -> bool:
    """Return whether a row with these columns is in a schedule: it has a time, and a place or an end."""
    given = {plain_name(name) for name in names}
    return bool(given & _STARTS and given & _ENDS)


def state_column(names: Iterable[str]) -> str | None:
    """Return which of a row's columns says whether a talk takes place."""
    return next((name for name in names if plain_name(name) in _STATES), None)


def why_withdrawn(state: object) -> str | None:
    """Return why a talk of this state does not take place; None if it may."""
    withdrawn = isinstance(state, str) and len(state) < _SHORT_CHARACTERS and state.casefold() in _WITHDRAWN
    return f"The talk is {state}." if withdrawn else None


def why_a_list(values: Mapping[str, Any]) -> str | None:
    """Return why a row with this id and address is a playlist or a channel of YouTube; None if it is neither."""
    identity, url = values.get("id"), values.get("url")
    listed = list_id(url) if isinstance(url, str) and "youtube" in url else None
    if not (listed and identity in (None, "", listed)) and not (
        isinstance(identity, str) and _LIST_ID.fullmatch(identity)
    ):
        return None
    return f"The row is a playlist or a channel{_named(values)}, not a video. {LIST_ITS_VIDEOS}"


LIST_ITS_VIDEOS = "List its videos: yt-dlp --flat-playlist -J ADDRESS."


def is_upcoming(record: Mapping[str, Any]) -> bool:
    """Return whether a row is a future premiere or live stream, by yt-dlp or YouTube's Data API."""
    snippet = record.get("snippet")
    begun = isinstance(snippet, dict) and snippet.get("liveBroadcastContent") == "upcoming"
    return begun or record.get("live_status") == "is_upcoming"


def is_hidden(title: str) -> bool:
    """Return whether a title is YouTube's or yt-dlp's name, in any language, for a video that they cannot see."""
    if _UNAVAILABLE.match(title):
        return True
    if len(title) > _SHORT_CHARACTERS:
        return False
    words = set(_WORD.findall(fold(title)))
    hidden = words & HIDDEN and words <= VIDEOS | HIDDEN | AROUND_HIDDEN
    return bool(words & VIDEOS and (hidden or _BRACKETED.fullmatch(title))) or bool(
        _CJK_HIDDEN.fullmatch(title.strip())
    )


def has_no_title(title: str) -> bool:
    """Return whether a title is the one that yt-dlp makes up for a video without a title."""
    return _NO_TITLE.fullmatch(title.strip()) is not None


def is_total(identity: str, title: str) -> bool:
    """Return whether a row of a table is the total of the others: its id says so, and its title if it has one."""
    told = plain_name(title)
    return plain_name(identity) in TOTALS and (not told or told.isdigit() or told.endswith(tuple(TOTALS)))


def is_untitled(title: str) -> bool:
    """Return whether a title is a placeholder that people or programs write for a missing title."""
    return _UNTITLED.fullmatch(title.strip(" .…-[]()")) is not None


def is_break(title: str) -> bool:
    """Return whether a schedule's title names a break and nothing else."""
    forms = (_NAMED_BREAK, _CJK_BREAK, _HANGUL_BREAK)
    return _is_of(title, BREAKS) or any(form.fullmatch(title.strip()) for form in forms)


def is_advertisement(title: str) -> bool:
    """Return whether a title announces advertising and nothing else."""
    return _is_of(title, ADVERTISING) and not any(map(str.isdigit, title))


def _is_of(title: str, kind: frozenset[str]) -> bool:
    if len(title) > _SHORT_CHARACTERS:
        return False
    plain = (
        fold(_ASIDE.sub(" ", title))
        .replace("check-in", "checkin")
        .replace("check in", "checkin")
        .replace("get-together", "gettogether")
    )
    words = set(_WORD.findall(plain))
    return bool(words & kind) and words <= kind | AROUND_BREAKS


def _is_list(record: Mapping[str, Any]) -> bool:
    """Return whether it is yt-dlp's entry for a playlist or channel, or an object with a list that is not a row."""
    if record.get("ie_key") in ("YoutubeTab", "YoutubePlaylist", "VimeoChannel", "VimeoAlbum", "VimeoUser"):
        return True
    if record.get("extractor_key") == "YoutubeTab" and record.get("_type") != "video":
        return True
    return isinstance(record.get("entries"), list)


def _is_channel(record: Mapping[str, Any]) -> bool:
    """Return whether it is a channel, or a playlist in a list of playlists: by yt-dlp, YouTube and PeerTube."""
    return (
        record.get("_type") == "channel"
        or record.get("type") in ("playlist", "channel")
        or record.get("kind") in ("youtube#playlist", "youtube#channel")
        or str(record.get("id")).startswith(("yt:playlist:", "yt:channel:"))
        or not record.keys().isdisjoint(_OF_LISTS)
    )


def _why_unseen(record: Mapping[str, Any]) -> str | None:
    """Return why the video cannot be seen, by yt-dlp, YouTube's Data API, Google Takeout, Vimeo and PeerTube."""
    match record:
        case {"details": list() as details} if {"name": "From Google Ads"} in details:  # an entry of a watch history
            return "The row is an advertisement, not a talk."
        case {"status": {"uploadStatus": "deleted" | "failed" | "rejected" as status}}:
            return f"The video's upload is {status}: there is no video."
        case (
            {"availability": "private"}
            | {"status": {"privacyStatus": "private"}}
            | {"uri": _, "privacy": {"view": "nobody"}}
            | {"uuid": _, "privacy": {"id": 3}}
        ):
            return "The video is private."
    return None


def _named(record: Mapping[str, Any]) -> str:
    name = record.get("title") or record.get("id")
    return f" (“{name:.60}”)" if isinstance(name, str) else ""
