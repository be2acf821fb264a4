"""The commands, one module a theme; `titlecard_console.cli` puts them into the application."""
