"""The command line: arguments in `main`, work in `commands`, what people see in `views`."""
