"""Chaos: the real stack on the local cloud, under every fault that can occur.

`python -m tests.chaos --minutes N` uploads manifests of every kind, exposes the functions and the provider to a storm
of faults for N minutes, lets it calm down, and checks every promise from outside: from the tables, the queues, the
bucket and the provider's own bill.

============  ========================================================================================================
module        content
============  ========================================================================================================
`storm`       the faults inside the functions: failing calls to AWS, and the code that injects them
`provider`    the loopback provider, which degrades, stops and comes back
`manifests`   manifests of every form that Titlecard reads
`stress`      the run itself: uploads, kills, an outage, the calm afterwards
`verdict`     the promises to check at the end, and a table of the faults
============  ========================================================================================================
"""
