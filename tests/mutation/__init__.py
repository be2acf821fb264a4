"""Mutation tests: small mistakes made on purpose, one at a time, in the code that guards money and rows.

`python -m tests.mutation` makes every mistake that its operators know in the modules of `PARTS`, runs the tests that
execute the changed statement, then some schedules of the simulation, and lists the mistakes that nothing noticed.

=============  =======================================================================================================
module         what it is
=============  =======================================================================================================
`operators`    the mistakes: what is changed in a module's source, and how it is named
`coverage`     which test executes which statement
`trial`        mistakes against the tests, each in a process of its own
`tolerated`    the mistakes that may survive, each with the reason
`sample`       mistakes that somebody has thought of, each with the test that notices it; a test makes them
=============  =======================================================================================================

mutmut and cosmic-ray start a test runner for every mistake. Importing boto3, moto and Pydantic AI takes longer than the
tests of one statement, so that here a process that has collected the tests is forked for every mistake.
"""
