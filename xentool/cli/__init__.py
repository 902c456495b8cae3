"""The command line: commands, rendering, the error boundary."""
