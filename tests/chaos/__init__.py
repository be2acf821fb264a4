"""Chaos: the real stack on the embedded AWS, while everything that can befall it does.

`python -m tests.chaos --minutes N` uploads manifests of every kind, throws a storm at the functions and the provider
for N minutes, lets it calm down, and checks every promise from outside: from the tables, the queues, the bucket and
the provider's own bill.

============  ========================================================================================================
module        what it is
============  ========================================================================================================
`storm`       the faults inside the functions: what befalls a call to AWS, and the code that lets it happen
`provider`    the loopback provider, which degrades, stops and comes back
`manifests`   manifests of every form that Titlecard reads
`stress`      the run itself: uploads, kills, an outage, the calm afterwards
`verdict`     what has to hold at the end, and the table of what was thrown at the stack
============  ========================================================================================================
"""
