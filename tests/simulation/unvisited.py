"""The branches that no schedule visits: outcomes and reason, by module, function and condition (`*`: every one)."""

from __future__ import annotations

YES, NO, BOTH = (True,), (False,), (True, False)

_CONSOLE = "the console's: no worker calls it"
_BY_HAND = "other things that somebody may write by hand: the ledger's own tests do that"
_WRONG_CLOCK = "an operator's clock that is minutes wrong: the ledger's own tests set such a clock"
_TEN = "a worker has ten messages at the most"
_RARE = "two workers and a person who act between two consecutive reads: the module's own tests do it"
_OLD_COPY = "a copy that comes after another worker has claimed its row: the catalog's own tests uncount such attempts"
_LONG = "a sweep of more rows than a schedule has: the module's own tests do it"
_NEVER = "the line before excludes this case, which types cannot express"

_UNREADABLE = "items that this version cannot read: the catalog's own tests write some"
_READ_IN_ANOTHER_WAY = "a manifest that is read differently from before: the audit's own tests change the limits"
_UNFORESEEN = "exceptions that end a schedule, unless AWS or a key causes them: the modules' own tests raise some"
_CROWDED = "a table that stays throttled until all tries are used up: the catalog's own tests throttle one"
_SAID = "a waiting row has a reason, a date and a need"

UNVISITED: dict[tuple[str, str, str], tuple[tuple[bool, ...], str]] = {
    ("pipeline.audit", "Audit._restart_ingest", "batch.lease_until >= stamp(self.now())"): (
        YES,
        "with the template's numbers, a lease ends before its batch counts as stalled",
    ),
    ("pipeline.audit", "Audit._unfinished", "batch.sent_row"): (
        YES,
        "an ingest that ends at the same place again and again",
    ),
    ("pipeline.audit", "Audit._end_unsendable", "len(some) == self.settings.sweeper_limit"): (YES, _RARE),
    ("pipeline.audit", "Audit._end_unsendable", "row > batch.audit_row"): (NO, _RARE),
    ("pipeline.audit", "Audit._end_as_dead", "state is RowState.DEAD"): (NO, _RARE),
    ("pipeline.audit", "Audit._finish_incomplete", "not self.catalog.count_rows(batch, RowState.DEFERRED)"): (
        NO,
        _RARE,
    ),
    ("aws.dynamodb.catalog.attempts", "Attempts.claim", "not entry.lease_until"): (
        YES,
        "a refusal shows a token of our own only while its lease is there",
    ),
    ("aws.dynamodb.catalog.batches", "Batches.counts_of_rows", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.batches", "Batches._advance", "stored.get('state') not in already"): (
        YES,
        "an ingest ends before its lease does, unless a clock jumps",
    ),
    ("aws.dynamodb.catalog.batches", "Batches.all_batches", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.batches", "Batches.raise_limit", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.batches", "Batches.raised", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.batches", "Batches.sent", "until"): (
        BOTH,
        "manifests of thousands of rows, or a queue that refuses them",
    ),
    ("aws.dynamodb.catalog.batches", "Batches.survey", "item"): (NO, "ingest writes the survey before it sends a row"),
    ("aws.dynamodb.catalog.items", "Batch.counted", "name.split('_')[0] in states"): (
        NO,
        "only ends are counted, and the audit asks for all of them",
    ),
    ("aws.dynamodb.catalog.items", "VideoRecord.answers", "self.talk is None"): (
        YES,
        "workers ask only where there is a talk",
    ),
    ("aws.dynamodb.catalog.items", "VideoRecord.concluded_at", "not self.lease_until"): (
        NO,
        "asked for only where no lease is",
    ),
    ("aws.dynamodb.catalog.items", "as_row", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.rows", "Rows.waiting", "*"): (BOTH, _CONSOLE),
    ("pipeline.parse", "Parser._finish_at_its_end", "known"): (NO, "messages of more than eight batches at a time"),
    (
        "pipeline.parse",
        "Parser._finish_at_its_end",
        "not may_have_ended(known[1], (now - known[0]).total_seconds())",
    ): (YES, "batches of thousands of rows: the parser's own tests have one"),
    ("aws.dynamodb.catalog.table", "read_ahead", "len(running) > READ_THREADS"): (
        YES,
        "batches of thousands of rows: the tests of results read ahead",
    ),
    ("pipeline.admission", "Admission.admit", "self._ledger.take_probe(project, token=token, until=until, now=now)"): (
        NO,
        _RARE,
    ),
    (
        "aws.dynamodb.ledger.accounts",
        "Accounts.account",
        "(set_at := _moment(budget, 'set_at')) > now + timedelta(seconds=CLOCKS_APART_SECONDS)",
    ): (
        YES,
        _WRONG_CLOCK,
    ),
    ("aws.dynamodb.ledger.accounts", "Accounts.accounts", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.accounts", "_account", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.accounts", "Accounts.budget_is_a_persons", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.accounts", "Accounts.set_budget", "by == RUN"): (YES, _CONSOLE),
    (
        "aws.dynamodb.ledger.accounts",
        "Accounts.set_budget",
        "except self._db.exceptions.ConditionalCheckFailedException",
    ): (YES, _CONSOLE),
    ("aws.dynamodb.ledger.accounts", "_moment", "moment.tzinfo is None"): (YES, _BY_HAND),
    ("aws.dynamodb.ledger.accounts", "budget_of", "value == int(value)"): (NO, _BY_HAND),
    ("aws.dynamodb.ledger.breakers", "Breaker.probes", "self.open"): (NO, "asked only of open ones"),
    ("aws.dynamodb.ledger.breakers", "_stamp", "except (ValueError, OverflowError)"): (YES, _BY_HAND),
    ("aws.dynamodb.ledger.items", "Spent.__add__", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.items", "Spent.measured", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.items", "spent_of", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.items", "LedgerTable._items", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.items", "count", "not isinstance(value, bool)"): (NO, _BY_HAND),
    ("aws.dynamodb.ledger.items", "count", "value == int(value)"): (NO, _BY_HAND),
    (
        "aws.dynamodb.ledger.reservations",
        "Spending._change",
        "isinstance(self._add(key, changes, ' AND '.join(conditions), values), _Refused)",
    ): (
        YES,
        _BY_HAND,
    ),
    ("aws.dynamodb.ledger.reservations", "Spending._add", "item_of_refusal(refusal.response)"): (
        NO,
        "only an existing item refuses a write, and the refusal shows it",
    ),
    ("aws.dynamodb.ledger.reservations", "Spending._add", "key"): (
        BOTH,
        "only an existing item refuses a write, and the refusal shows it",
    ),
    (
        "aws.dynamodb.ledger.reservations",
        "Spending._archive_old_days",
        "except (LedgerUnavailable, self._db.exceptions.ConditionalCheckFailedException)",
    ): (YES, "a call that fails while days are moved: the ledger's own tests lose each of them"),
    ("aws.dynamodb.ledger.reservations", "Spending._raise", "*"): (
        BOTH,
        "lost answers to the write of a bill above its bound",
    ),
    ("aws.dynamodb.ledger.reservations", "Spending.months", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.ledger.reservations", "Spending.spending", "*"): (BOTH, _CONSOLE),
    ("pipeline.lease", "Lease._renew", "not self._catalog.renew_sweep(self._holder, until=began + LEASE)"): (
        YES,
        "a sweeper that hangs for longer than its lease lasts, and lives on",
    ),
    ("pipeline.job", "Job.killed_alone", "self.mark_is_old"): (
        NO,
        "a second delivery of the last receive, in the moment of the local tier: the parser's own tests do it",
    ),
    ("pipeline.parse", "Parser._clock_is_ahead", "received.first is not None"): (NO, "SQS says when"),
    ("pipeline.parse", "Parser._clock_is_behind", "received.first is not None"): (NO, "SQS says when"),
    ("pipeline.ask", "Asker._key", "(key := self._keys.of(project, fresh=True))"): (
        NO,
        "a key is not taken away here",
    ),
    ("pipeline.parse", "Parser._look_up", "it.entry.talk"): (YES, _RARE),
    ("pipeline.audit", "Audit._send_again.messages", "not in_time()"): (YES, _LONG),
    ("pipeline.audit", "Audit._end_unsendable", "not in_time()"): (YES, _LONG),
    ("pipeline.audit", "Audit._audit", "is_last"): (BOTH, _READ_IN_ANOTHER_WAY),
    ("pipeline.audit", "Audit._audit", "not is_last"): (NO, _READ_IN_ANOTHER_WAY),
    ("pipeline.audit", "Audit._audit", "self.queue.size()"): (
        YES,
        "a manifest that is removed while messages are in the queue: the audit's own tests do it",
    ),
    ("pipeline.audit", "Audit._audit", "except (NotAManifest, ManifestTooLarge)"): (YES, _READ_IN_ANOTHER_WAY),
    ("pipeline.requeue", "_Sweep._due_of", "passed > MOST_PASSED"): (YES, _LONG),
    ("pipeline.requeue", "_Sweep._due_of", "not self._in_time()"): (YES, _LONG),
    ("pipeline.requeue", "_Sweep.send.messages", "(row.batch, row.message.row) not in sent"): (NO, _RARE),
    ("pipeline.requeue", "Requeue._requeue_rows", "except Exception"): (YES, _UNFORESEEN),
    ("aws.dynamodb.catalog.items", "_moment", "moment.tzinfo is None"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.items", "_text", "not isinstance((text := item[name]), str)"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.items", "as_batch", "name in item"): (NO, "every current version writes all five"),
    ("aws.dynamodb.catalog.rows", "_as_deferred", "row.due is None"): (YES, _UNREADABLE),
    ("pipeline.admission", "Admission.rejected_for_all", "permit.probe is not None"): (YES, _RARE),
    ("pipeline.ask", "Asker._not_sent", "self._catalog.give_back(reserved.attempt)"): (NO, _RARE),
    ("pipeline.ask", "Asker._not_claimed", "entry.answers(job.policy)"): (NO, _RARE),
    ("pipeline.ask", "Asker._not_claimed", "entry.history"): (NO, "what has had attempts has a history"),
    ("aws.dynamodb.catalog.batches", "Batches.batch", "except UNREADABLE"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.batches", "Batches.survey", "except UNREADABLE"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.batches", "Batches._listed", "except (KeyError, BatchItemInvalid)"): (YES, _UNREADABLE),
    ("pipeline.requeue", "_Sweep._verdict", "except (KeyError, BatchItemInvalid)"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.items", "readable", "except UNREADABLE"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.rows", "Rows._end_rows", "known"): (NO, _UNREADABLE),
    ("pipeline.parse", "Parser._done", "ended.state not in END_STATES"): (YES, _UNREADABLE),
    ("pipeline.parse", "Parser._stopped", "isinstance(error, ItemInvalid)"): (YES, _UNREADABLE),
    ("pipeline.parse", "Parser._together", "isinstance(error, ItemInvalid)"): (YES, _UNREADABLE),
    ("pipeline.parse", "Parser._together", "isinstance(error, ItemInvalid) or not is_retryable(error)"): (
        YES,
        _UNFORESEEN,
    ),
    ("pipeline.parse", "Parser._together", "not is_retryable(error)"): (YES, _UNFORESEEN),
    ("pipeline.parse", "Parser._asked", "not is_retryable(error.cause)"): (YES, _UNFORESEEN),
    ("pipeline.parse", "Parser._owe_letter", "not is_retryable(error)"): (YES, _UNFORESEEN),
    ("pipeline.parse", "Parser._stopped", "is_retryable(error)"): (NO, _UNFORESEEN),
    ("pipeline.parse", "Parser._stopped", "except Exception"): (YES, _UNFORESEEN),
    ("pipeline.parse", "Parser._stopped", "self._has_receives(received)"): (BOTH, _UNFORESEEN),
    ("pipeline.parse", "Parser._stopped", "isinstance(of, Job)"): (BOTH, _UNFORESEEN),
    ("pipeline.parse", "Parser._redeliver", "message"): (
        NO,
        "a dead-letter queue that does not answer about a message that is not a row",
    ),
    ("aws.dynamodb.catalog.items", "_due", "due"): (NO, _SAID),
    ("aws.dynamodb.catalog.rows", "Rows._store_beside", "record is None"): (YES, _RARE),
    ("aws.dynamodb.catalog.rows", "Rows._store_beside", "stored"): (NO, _NEVER),
    ("aws.dynamodb.catalog.rows", "Rows.defer", "Amount()"): (NO, _NEVER),
    ("aws.dynamodb.catalog.rows", "Rows.deferred", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.rows", "Rows.make_due", "*"): (BOTH, _CONSOLE),
    ("aws.dynamodb.catalog.rows", "Rows.postpone_unreadable", "*"): (BOTH, _UNREADABLE),
    ("aws.dynamodb.catalog.rows", "_as_deferred", "except _UNREADABLE"): (YES, _UNREADABLE),
    ("aws.dynamodb.catalog.rows", "_talk_item", "ending.talk"): (NO, _NEVER),
    ("aws.dynamodb.catalog.rows", "unpacked", "content.startswith(b'\\x1f\\x8b')"): (
        NO,
        "a message that compression makes longer",
    ),
    ("aws.dynamodb.catalog.table", "CatalogTable._get_all", "in_vain == TRIES"): (YES, _CROWDED),
    ("aws.dynamodb.catalog.table", "CatalogTable._insert", "code not in RETRYABLE"): (YES, _CROWDED),
    ("aws.dynamodb.catalog.table", "CatalogTable._insert", "tries == TRIES"): (YES, _CROWDED),
    ("aws.dynamodb.catalog.table", "CatalogTable._put", "aliases"): (
        NO,
        "the console's and a publication's: its conditions need no aliases",
    ),
    ("aws.dynamodb.catalog.table", "CatalogTable._transact", "*"): (BOTH, _CONSOLE),
    ("pipeline.audit", "Audit._finish", "not self.results.publish(batch, in_time, reason, complete=complete)"): (
        YES,
        "results that take more than one call: their own tests publish some",
    ),
    ("pipeline.audit", "Audit.run", "isinstance(found, UnreadableBatch)"): (YES, _UNREADABLE),
    ("pipeline.parse", "Parser._redeliver", "self._settings.retry_backoff_seconds"): (NO, "a backoff of no seconds"),
    ("pipeline.parse", "Parser._give_back_unsent", "message.unsent == entry.token"): (NO, _OLD_COPY),
    ("aws.dynamodb.catalog.attempts", "Attempts.uncount", "*"): (BOTH, _OLD_COPY),
    ("pipeline.parse", "Parser._ask", "job.is_suspect"): (YES, _RARE),
    ("pipeline.parse", "Parser._ask", "not there_was_no_time"): (BOTH, _RARE),
    ("pipeline.parse", "Parser._dead_letter", "outcome != Done(RowState.DEAD)"): (YES, _RARE),
    ("pipeline.parse", "Parser._send_dead_letter", "except UNAVAILABLE"): (
        YES,
        "a queue that does not answer, right after the death is recorded: the parser's own tests do it",
    ),
    ("pipeline.parse", "Parser._outcome_without_parsing", "not job.batch.cancelled"): (NO, _RARE),
    ("pipeline.requeue", "Requeue._requeue_rows", "isinstance(it, Batch)"): (NO, _UNREADABLE),
    ("pipeline.requeue", "_Headroom.verdict", "project.due is None"): (
        NO,
        "a cancelled batch of a project whose breaker is open, beside one that is not cancelled",
    ),
    ("pipeline.requeue", "_Sweep._rows_that_continue", "isinstance(found, DeferredRow)"): (NO, _UNREADABLE),
    ("pipeline.requeue", "_Sweep._batch", "deferred.batch not in self._batches"): (
        YES,
        "a batch that is opened in the middle of a sweep",
    ),
    ("pipeline.requeue", "_Sweep._verdict", "isinstance(found, DeferredRow)"): (NO, _UNREADABLE),
    ("pipeline.requeue", "_Sweep.rows_for_a_person", "isinstance(found, UnreadableRow)"): (YES, _UNREADABLE),
    ("pipeline.requeue", "_Sweep.rows_for_a_person", "hold not in set(Hold)"): (
        YES,
        "only a hold of our own has no date",
    ),
}
