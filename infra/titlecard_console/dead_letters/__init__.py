"""Dead letters: what they are, what another attempt can cost, and the redrive that an operator allows.

======================  ==================================================================================
:mod:`.letter`          a dead row or an unusable message, its cause, and the selection of dead letters
:mod:`.queue`           the dead-letter queues, read once for the messages' bodies
:mod:`.cost`            the most that another attempt at each dead letter can cost
:mod:`.plan`            what a person sees before a redrive
:mod:`.redrive`         lists dead letters, sends them again and discards them
======================  ==================================================================================
"""
