"""The commands, one module for each theme; `titlecard_console.cli` adds them to the application."""
