"""The commands, each in the module of its name; `resume` is in `pause`, and `eval` in `evaluate`.

A command's module reads the options, asks and prints. The work is in a module of `titlecard_console` beside it.
`titlecard_console.cli` adds the commands to the application.
"""
