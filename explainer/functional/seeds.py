"""Seeds of random generators that depend on several whole numbers, such as a run's seed, an epoch and an image.

The mixing is the xxHash scheme with which CPython 3.8 and later hash a tuple (Objects/tupleobject.c; Y. Collet: xxHash,
2012). It is written out here because Python does not promise to keep it, and results must not depend on the version.
"""

_WORD = 2**64 - 1
"""Mask of a 64-bit word: all arithmetic wraps around, as it does in C."""
_PRIME_1 = 11_400_714_785_074_694_791
_PRIME_2 = 14_029_467_366_897_019_727
_PRIME_5 = 2_870_177_450_012_600_261
_LENGTH_MIX = _PRIME_5 ^ 3_527_539
_RESERVED_REPLACEMENT = 1_546_275_796
"""CPython returns this in place of -1, which its C functions keep for an error."""
_MERSENNE = 2**61 - 1
"""CPython hashes a whole number by its remainder to this prime."""


def derived_seed(*numbers: int) -> int:
    """Mix whole numbers into one seed.

    Args:
        numbers: Whole numbers, in an order that matters.

    Returns:
        A seed in [0, 2⁶³), the same on every machine and for every version of Python.

    Example:
        >>> derived_seed(42, 0, 7) == derived_seed(42, 0, 7), derived_seed(42, 0, 7) == derived_seed(42, 7, 0)
        (True, False)
    """
    mixed = _PRIME_5
    for number in numbers:
        mixed = (mixed + _word_of(number) * _PRIME_2) & _WORD
        mixed = (mixed << 31 | mixed >> 33) & _WORD  # rotated, so that the order of the numbers counts
        mixed = mixed * _PRIME_1 & _WORD
    mixed = (mixed + (len(numbers) ^ _LENGTH_MIX)) & _WORD
    if mixed == _WORD:
        mixed = _RESERVED_REPLACEMENT
    return mixed % 2**63  # generators take no negative seed


def _word_of(number: int) -> int:
    """Return CPython's hash of a whole number as an unsigned word."""
    remainder = abs(number) % _MERSENNE
    signed = -remainder if number < 0 else remainder
    if signed == -1:
        signed = -2  # -1 is kept for an error here too
    return signed & _WORD
