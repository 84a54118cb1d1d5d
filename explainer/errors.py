"""The one exception that a person is meant to read: what is wrong with the input, and what to do."""


class InputError(ValueError):
    """Something that the user gave (file, key, shape, checkpoint) cannot be used.

    The message is one line: it names the file, key or shape and says what to do. The command line prints it
    without a traceback and exits with status 2.
    """


def one_line(error: BaseException) -> str:
    """An error as a record holds it: its class, and the first line of what it says.

    Args:
        error: Any.

    Returns:
        At most some 200 characters.

    Example:
        >>> one_line(KeyError("b"))
        "KeyError: 'b'"
    """
    words = str(error).strip() or "no message"
    return f"{type(error).__name__}: {words.splitlines()[0][:200]}"
