"""A site's side of Titlecard in Django's admin, to copy into an app of the site.

`clean` stores the talks that the local tier is sure of, in the site's own process, without a cloud. `send` uploads
videos to the pipeline, and `apply` stores its results. A site on one machine needs only `clean`.
"""
# ruff: noqa: ANN001, ANN201, ANN204 -- Django code as its readers write it; Django ships no types

import json
from operator import itemgetter

import boto3
from django.contrib import admin
from django.db import models
from django.utils import timezone

import titlecard

BUCKET, PROJECT = "the-output-UploadsBucket", "pycon"


class Video(models.Model):
    """A video as YouTube has it, and the clean talk."""

    id = models.CharField(primary_key=True, max_length=64)
    raw_title = models.TextField()
    description = models.TextField(blank=True)
    title = models.TextField(blank=True)
    presenters = models.JSONField(default=list)

    def __str__(self):
        return self.title or self.raw_title

    def row(self):
        """Return the video as a row of a manifest."""
        return {"id": self.id, "title": self.raw_title, "description": self.description}


@admin.action(description="Clean titles here, where Titlecard is sure")
def clean(modeladmin, request, queryset):
    """Store those talks of a queryset that the local tier is sure of."""
    videos = list(queryset)
    sure = 0
    for video, talk in zip(videos, titlecard.parse(video.row() for video in videos), strict=True):
        if talk.review is None:
            video.title, video.presenters = talk.title, talk.presenters
            video.save(update_fields=["title", "presenters"])
            sure += 1
    modeladmin.message_user(request, f"{sure} of {len(videos)} talks were cleaned; send the others to Titlecard.")


@admin.action(description="Send to Titlecard")
def send(modeladmin, request, queryset):
    """Upload a queryset as a manifest."""
    lines = [json.dumps(video.row()) for video in queryset.iterator()]
    key = f"uploads/{PROJECT}/admin-{timezone.now():%Y%m%d-%H%M%S-%f}.jsonl"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body="\n".join(lines).encode())
    modeladmin.message_user(request, f"{len(lines)} videos are on their way.")


@admin.action(description="Apply Titlecard's results")
def apply(modeladmin, request, queryset):
    """Store the talks of a queryset from every finished batch, oldest first."""
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"results/{PROJECT}/")
    files = sorted((it for page in pages for it in page.get("Contents", [])), key=itemgetter("LastModified"))
    applied = set().union(*(apply_file(file["Key"], queryset) for file in files))
    modeladmin.message_user(request, f"{len(applied)} talks were applied.")


def apply_file(key, queryset):
    """Store one batch's results; the event of a finished batch names the file in `results.key`."""
    applied = set()
    for line in boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].iter_lines():
        talk = json.loads(line)
        fit = talk["state"] == "parsed" and talk["current"] and not talk["review"]  # the rest: `titlecard review`
        if fit and queryset.filter(id=talk["id"]).update(title=talk["title"], presenters=talk["presenters"]):
            applied.add(talk["id"])
    return applied


@admin.register(Video)
class VideoAdmin(admin.ModelAdmin):
    """Videos, with the three actions."""

    actions = (clean, send, apply)
