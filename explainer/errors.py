"""The one exception that a person is meant to read: what is wrong with the input, and what to do."""


class InputError(ValueError):
    """Something that the user gave (file, key, shape, checkpoint) cannot be used.

    The message is one line: it names the file, key or shape and says what to do. The command line prints it
    without a traceback and exits with status 2.
    """
