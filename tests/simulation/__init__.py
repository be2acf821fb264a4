"""A deterministic simulation of the whole stack: the production code on simulated AWS, provider, clock and schedule.

`python -m tests.simulation --schedules N --seed S` runs schedules. It shrinks a failing one and prints a short trace.

==============  ======================================================================================================
module          content
==============  ======================================================================================================
`choices`       the named choices that make up a schedule: drawn from a seed, replayed, and left out one by one
`scheduler`     fibers: threads of which one runs at a time, on a virtual clock; a choice selects which one
`expressions`   DynamoDB's condition and update expressions
`dynamo`        DynamoDB: tables, the index, transactions, and the client with its retries
`queues`, `s3`  SQS with its redeliveries, and the bucket
`provider`      the provider: keeps its own bill, and fails in every way of the fault table
`production`    the production modules: unchanged, patched, or with their branches counted
`invariants`    the checks after every step
`world`         workers, schedules and people, and one whole schedule from its upload to its end
`covering`      the few schedules that visit every branch between them
`shrinking`     reduces a failing schedule to a short one
==============  ======================================================================================================
"""
