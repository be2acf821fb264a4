"""A site's side of Titlecard in Django's admin: one action sends videos, the other one applies what came back.

The README shows what stands below; the tests beside this run it against an emulated S3. It is Django code as its
readers write it, without types, which Django does not ship.
"""
# ruff: noqa: ANN001, ANN201, ANN204
# mypy: ignore-errors

import json
from operator import itemgetter

import boto3
from django.contrib import admin
from django.db import models
from django.utils import timezone

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


@admin.action(description="Send to Titlecard")
def send(modeladmin, request, queryset):
    """Upload a queryset as a manifest."""
    rows = [{"id": it.id, "title": it.raw_title, "description": it.description} for it in queryset.iterator()]
    key = f"uploads/{PROJECT}/admin-{timezone.now():%Y%m%d-%H%M%S-%f}.jsonl"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body="\n".join(map(json.dumps, rows)).encode())
    modeladmin.message_user(request, f"{len(rows)} videos are on their way.")


@admin.action(description="Apply Titlecard's results")
def apply(modeladmin, request, queryset):
    """Take over the talks of a queryset from every finished batch, the oldest first."""
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"results/{PROJECT}/")
    files = sorted((it for page in pages for it in page.get("Contents", [])), key=itemgetter("LastModified"))
    applied = set().union(*(apply_file(file["Key"], queryset) for file in files))
    modeladmin.message_user(request, f"{len(applied)} talks were applied.")


def apply_file(key, queryset):
    """Apply one batch's results; with `results.key` of its event there is no need to look for files."""
    applied = set()
    for line in boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].iter_lines():
        talk = json.loads(line)
        fit = talk["state"] == "parsed" and talk["current"] and not talk["review"]  # the rest: `titlecard review`
        if fit and queryset.filter(id=talk["id"]).update(title=talk["title"], presenters=talk["presenters"]):
            applied.add(talk["id"])
    return applied


@admin.register(Video)
class VideoAdmin(admin.ModelAdmin):
    """Videos, with both actions."""

    actions = (send, apply)
