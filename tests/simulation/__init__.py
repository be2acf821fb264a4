"""A deterministic simulation of the whole stack: the production code on simulated AWS, provider, clock and schedule.

`python -m tests.simulation --schedules N --seed S` runs schedules; a failure is shrunk and told as a short trace.

==============  ======================================================================================================
module          what it is
==============  ======================================================================================================
`choices`       what a schedule is made of: named choices, drawn from a seed, replayed and left out one by one
`baton`         fibers: threads of which one runs at a time, on a virtual clock, and which one is a choice
`expressions`   DynamoDB's condition and update expressions
`dynamo`        DynamoDB: tables, the index, transactions, and the client with its retries
`queues`, `s3`  SQS with its redeliveries, and the bucket
`provider`      who is asked: bills in a book of its own, and fails in every way of the fault table
`production`    the production modules, as they are, patched, or with their branches counted
`invariants`    what holds after every step
`world`         workers, schedules and people, and one whole schedule from its upload to its end
`shrinking`     from a failing schedule to a short one
==============  ======================================================================================================
"""
