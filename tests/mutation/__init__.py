"""Mutation tests: small mistakes made on purpose, one at a time, in the code that guards money and rows.

`python -m tests.mutation` makes every mistake that its operators know in the modules of `PARTS`, runs the tests that
execute the changed statement, then some schedules of the simulation, and lists the mistakes that nothing noticed.

=============  =======================================================================================================
module         content
=============  =======================================================================================================
`operators`    the mistakes: the changes to a module's source, and their names
`coverage`     which test executes which statement
`trial`        runs the tests against each mistake in a separate process
`tolerated`    the mistakes that may survive, each with the reason
`sample`       chosen mistakes, each with the test that notices it; a test makes them
=============  =======================================================================================================

mutmut and cosmic-ray start a test runner for every mistake. Importing boto3, moto and Pydantic AI takes longer than the
tests of one statement, so this package forks a process that has already collected the tests.
"""
