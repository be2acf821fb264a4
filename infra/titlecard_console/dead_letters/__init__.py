"""Dead letters: what they are, what another attempt can cost, and the redrive that a person allows.

======================  ==================================================================================
:mod:`.letter`          a dead row or a message that cannot be used, its cause, and which of them are meant
:mod:`.queue`           the dead-letter queues, read once for the messages' bodies
:mod:`.cost`            the most that another attempt at each of them can cost
:mod:`.redrive`         lists them, sends them again and discards them
======================  ==================================================================================
"""
